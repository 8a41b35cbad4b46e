-- A lock that is first come, first served, with a fencing token: five commands if it is free.
--
-- The lock is a string with a TTL: the token as a double, then who holds it. Who has to wait stands in the list
-- `:queue`, with a key of its own whose TTL says that it still lives, and listens on a channel of that name.
-- The token is a revision of the namespace (see get.lua), so it grows over a restart that lost the data.
--
-- KEYS: lock, the namespace's revision; ARGV: who, milliseconds to live -> token, or nil: wait for a message
local found = redis.call('MGET', KEYS[1], KEYS[2])
local queue = KEYS[1] .. ':queue'

local function wait()
  if not redis.call('SET', queue .. ':' .. ARGV[1], 1, 'PX', ARGV[2], 'GET') then
    redis.call('RPUSH', queue, ARGV[1])
  end
  return false
end

if found[1] then
  -- A repeat of a call whose answer was lost.
  if string.sub(found[1], 9) == ARGV[1] then return (struct.unpack('d', found[1])) end
  return wait()
end
-- A holder that died has left it free with others waiting.
local first = redis.call('LINDEX', queue, 0)
while first do
  if first ~= ARGV[1] and redis.call('EXISTS', queue .. ':' .. first) == 1 then return wait() end
  redis.call('LPOP', queue)
  if first == ARGV[1] then break end
  first = redis.call('LINDEX', queue, 0)
end

local clock = redis.call('TIME')
local token = math.max(clock[1] * 1000000 + clock[2], tonumber(found[2] or 0) + 1)
redis.call('SET', KEYS[1], struct.pack('d', token) .. ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], token)
return token
