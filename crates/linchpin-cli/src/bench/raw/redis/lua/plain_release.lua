-- Releases a plain lock (SET NX PX) if it is still the caller's.
-- KEYS: lock; ARGV: who -> 1, or 0 if it was lost
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
