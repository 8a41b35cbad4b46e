-- Releases a lock (see acquire.lua) if it is still the caller's, and hands it to the first who waits and lives:
-- three commands if nobody does.
--
-- KEYS: lock, the namespace's revision; ARGV: who, milliseconds to live for the next -> 1, or 0 if it was lost
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 9) ~= ARGV[1] then return 0 end
local queue = KEYS[1] .. ':queue'
local next = redis.call('LPOP', queue)
while next do
  if redis.call('DEL', queue .. ':' .. next) == 1 then
    local clock = redis.call('TIME')
    local token = math.max(clock[1] * 1000000 + clock[2], tonumber(redis.call('GET', KEYS[2])) + 1)
    redis.call('SET', KEYS[1], struct.pack('d', token) .. next, 'PX', ARGV[2])
    redis.call('SET', KEYS[2], token)
    redis.call('PUBLISH', queue .. ':' .. next, string.format('%.0f', token))
    return 1
  end
  next = redis.call('LPOP', queue)
end
redis.call('DEL', KEYS[1])
return 1
