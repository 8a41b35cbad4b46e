-- ARGV: prefix, and for a beat where to look on in the list of keys (min of ZRANGEBYLEX)
-- -> microseconds until the next deadline, or -1
--
-- A beat tells the watchers how many revisions there were, and removes what is listed and not there any more, so that
-- nothing is lost without being noticed though nobody writes. It looks at some keys only, those that end first: what
-- others do not wait for is seldom taken away from them. It is told where the next one is to look on.
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

sweep(512)
if ARGV[2] then
  remove_all(missing(call('ZRANGE', P .. 'ttl', 0, LOOK - 1)))
  local listed = call('ZRANGEBYLEX', P .. 'keys', ARGV[2], '+', 'LIMIT', 0, LOOK)
  remove_all(missing(listed))
  local on = #listed == LOOK and '(' .. listed[LOOK] or '-'
  changes[#changes + 1] = pack('<c1I4c0', 'l', #on, on)
end
local next = call('ZRANGE', P .. 'ttl', 0, 0, 'WITHSCORES')
if not next[2] then return done('-1') end
return done(num(math.max(tonumber(next[2]) - now, 0)))
