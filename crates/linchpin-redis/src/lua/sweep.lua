-- ARGV: prefix, the number of who asks, and for a beat where to look on in the list of keys (min of ZRANGEBYLEX)
-- -> microseconds until the next deadline, or -1
--
-- Everybody who watches is told who looked, and when something is due next: nobody else need look until then.
--
-- A beat tells the watchers the epoch, begins the next one, and removes what is listed and not there any more, so that nothing is lost without
-- being noticed though nobody writes. It looks at some keys only, those that end first: what
-- others do not wait for is seldom taken away from them. It is told where the next one is to look on. What only one of
-- the two lists has is put into the other again, which the server may have dropped; and it tells how many keys the
-- server has dropped.
local LOOK = 2048
frees = true

-- Those of these keys that are not there.
local function missing(keys)
  local gone = {}
  for at = 1, #keys, 512 do
    local names = {}
    for i = at, math.min(at + 511, #keys) do names[#names + 1] = P .. 'k:' .. keys[i] end
    if call('EXISTS', unpack(names)) < #names then
      for i, name in ipairs(names) do
        if #gone < LOOK and call('EXISTS', name) == 0 then gone[#gone + 1] = keys[at + i - 1] end
      end
    end
  end
  return gone
end

-- Puts those of these keys into a list that it does not have, by what stands at them.
local function list_again(list, keys, score)
  for at = 1, #keys, 512 do
    for i, listed in ipairs(call('ZMSCORE', list, unpack(keys, at, math.min(at + 511, #keys)))) do
      local key = keys[at + i - 1]
      local d = listed and 0 or deadline(key)
      if d > 0 then
        relieve()
        call('ZADD', list, score or num(d), key)
      end
    end
  end
end

-- Whoever is told an epoch has to be told the same one the next time.
if not meta then
  redis.pcall('DEL', P .. 'none')
  if redis.pcall('SET', META, noted()).err then epoch = 0 end
end
sweep(512)
local told, before = 'n', epoch
if ARGV[3] then
  local ending = call('ZRANGE', P .. 'ttl', 0, LOOK - 1)
  remove_all(missing(ending))
  list_again(P .. 'keys', ending, '0')
  local listed = call('ZRANGEBYLEX', P .. 'keys', ARGV[3], '+', 'LIMIT', 0, LOOK)
  remove_all(missing(listed))
  list_again(P .. 'ttl', listed)
  local on = #listed == LOOK and '(' .. listed[LOOK] or '-'
  local stats = redis.pcall('INFO', 'stats')
  local dropped = type(stats) == 'string' and string.match(stats, 'evicted_keys:(%d+)') or 0
  -- Where older data come back the next beat, or change, follows on another one.
  epoch = math.max(epoch + 1, now)
  redis.pcall('DEL', P .. 'none')
  if redis.pcall('SET', META, noted()).err then epoch = before end
  told = pack('<c1I4c0ddd', 'l', #on, on, tonumber(dropped), epoch, rev)
end
done()
local next = call('ZRANGE', P .. 'ttl', 0, 0, 'WITHSCORES')
local wait = next[2] and math.max(tonumber(next[2]) - now, 0) or -1
local log, look = KEYS[2] .. 'log', pack('<d', before) .. told .. pack('<dd', wait, tonumber(ARGV[2]))
local heard = redis.pcall('PUBLISH', log, look)
if type(heard) == 'table' then
  -- The others go on as if there had been no beat; and it fails once more.
  epoch = before
  redis.pcall('SET', META, noted())
  redis.call('PUBLISH', log, look)
end
return num(wait)
