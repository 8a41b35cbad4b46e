-- A versioned entry with a deadline, as lean as it goes: two commands, one where it lives for ever.
--
-- An entry is one string: its version, the revision that created it and its deadline (microseconds by the
-- server's clock; 0 for none) as three doubles, then the value. Revisions are microseconds too, so that they grow
-- over a restart that lost the data; all are below 2^53, where doubles are exact.
--
-- KEYS: entry, the namespace's revision -> revision, version, created, microseconds left (-1 for ever), value or nil
local found = redis.call('MGET', KEYS[1], KEYS[2])
local rev = tonumber(found[2] or 0)
if not found[1] then return { rev, 0, 0, -1, false } end
local version, created, deadline = struct.unpack('ddd', found[1])
local left = -1
if deadline > 0 then
  local clock = redis.call('TIME')
  -- Never earlier than what was acted upon: where the clock steps back, nothing comes back to life.
  local now = math.max(clock[1] * 1000000 + clock[2], rev)
  left = deadline - now
  if left <= 0 then
    -- Its end is a change, with a revision of its own, for whoever watches.
    local ended = math.max(rev + 1, now)
    redis.call('DEL', KEYS[1])
    redis.call('SET', KEYS[2], ended)
    redis.call('ZREM', KEYS[2] .. ':ttl', KEYS[1])
    redis.call('XADD', KEYS[2] .. ':log', 'MAXLEN', '~', 10000, string.format('%.0f-0', ended), 'p', rev, 'd', KEYS[1])
    return { ended, 0, 0, -1, false }
  end
end
return { rev, version, created, left, string.sub(found[1], 25) }
