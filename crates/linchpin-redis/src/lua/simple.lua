-- Runs before everything else of a commit: one put or delete of one key with at most one guard, which is what
-- most transactions are. It does what commit.lua does for them, without the functions that the prelude defines
-- anew for each run. Nothing is written before it is sure that nothing is unusual: nothing
-- written before, a repeat, a clock that stepped back, a key past its deadline, a guard that does not hold. That is left to commit.lua.
local last = #ARGV
if ARGV[6] <= '1' and last == 10 + 3 * ARGV[6] and (ARGV[last - 3] == 'put' or ARGV[last - 3] == 'del') then
  local P, call, id, ttl = ARGV[1], redis.call, ARGV[2], ARGV[last]
  local put, name, value = ARGV[last - 3] == 'put', ARGV[last - 2], ARGV[last - 1]
  local META, KEY = P .. 'meta', P .. 'k:' .. name
  local found, clock = call('MGET', META, KEY, P .. 't:' .. id), call('TIME')
  local rev, epoch, acted, offset, m, c, d = 0, 0, 0, 0, nil, nil, 0
  if found[1] then rev, epoch, acted, offset = struct.unpack('<dddd', found[1]) end
  if found[2] then m, c, d = struct.unpack('<ddd', found[2]) end
  local now = clock[1] * 1000000 + clock[2] + offset
  local usual = found[1] and (put or m) and now >= acted and (d == 0 or d > now) and #value <= 4096 and not found[3]
  if usual and ARGV[6] == '1' then
    local guarded, condition = ARGV[7], ARGV[8]
    if condition == 'n' then
      usual = #call('ZRANGEBYLEX', P .. 'keys', '[' .. guarded, '(' .. guarded .. '\255', 'LIMIT', 0, 1) == 0
    elseif condition == 'a' then
      usual = guarded == name and not m
    else
      usual = guarded == name and m and (condition == 'p' or m == tonumber(ARGV[9]))
    end
  end
  -- Whoever adds keys that end looks whether some have ended, so that they never pile up.
  if usual and ttl ~= '' then
    local first = call('ZRANGE', P .. 'ttl', 0, 0, 'WITHSCORES')[2]
    usual = not first or tonumber(first) > now
  end
  if usual then
    rev = math.max(rev + 1, now)
    local meta = struct.pack('<dddd', rev, epoch, now, offset)
    local change, reply
    -- The lists first: what is listed and not there is found by a beat.
    if put then
      local created, lives, due = c or rev, tonumber(ttl) or 0, 0
      if lives > 0 then
        due = now + lives
        call('ZADD', P .. 'ttl', string.format('%d', due), name)
      elseif d > 0 then
        call('ZREM', P .. 'ttl', name)
      end
      if not m then call('ZADD', P .. 'keys', '0', name) end
      call('MSET', META, meta, KEY, struct.pack('<ddd', rev, created, due) .. value)
      change = struct.pack('<dc1dI4c0ddI4c0', epoch, 'p', rev, #name, name, lives, created, #value, value)
      reply = struct.pack('<c1ddd', 'c', rev, created, lives)
    else
      -- What frees memory before all else: a full server refuses what may need some, unless a script has written before.
      call('DEL', KEY)
      call('SET', META, meta)
      change = struct.pack('<dc1dI4c0', epoch, 'd', rev, #name, name)
      reply = struct.pack('<c1dd', 'c', rev, 1)
    end
    local topic = string.match(name, '^[^/]*/[^/]*/') or name
    local channels = { KEYS[2] .. 'log:' .. topic, topic ~= name and KEYS[2] .. 'key:' .. name or nil }
    for _, channel in ipairs(channels) do
      local told = redis.pcall('PUBLISH', channel, change)
      if type(told) == 'table' and told.err then
        -- As of the prelude's `careful`: everybody who watches reads all again, and it fails once more.
        call('SET', META, struct.pack('<dddd', rev, math.max(epoch + 1, now), now, offset))
        call('PUBLISH', channel, change)
      end
    end
    if not put then
      call('ZREM', P .. 'keys', name)
      if d > 0 then call('ZREM', P .. 'ttl', name) end
    end
    if id ~= '' then call('SET', P .. 't:' .. id, ARGV[4] .. reply, 'PX', ARGV[3]) end
    return reply
  end
end
