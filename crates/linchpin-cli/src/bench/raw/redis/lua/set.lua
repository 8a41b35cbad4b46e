-- Writes an entry (see get.lua) so that a repeat changes nothing and whoever watches hears of it: six commands.
--
-- Beside the namespace's revision lie `:ttl`, a sorted set of deadlines from which a timer would take what expires
-- unread, and `:log`, a capped stream of changes. Each record says which revision came before it (`p`), so that a
-- reader whom the cap has overtaken knows.
--
-- KEYS: entry, the namespace's revision, this call's id
-- ARGV: value, microseconds to live (0 for ever), milliseconds for which the id is remembered
-- -> revision, created
local found = redis.call('MGET', KEYS[1], KEYS[2])
local clock = redis.call('TIME')
local before = tonumber(found[2] or 0)
local now = math.max(clock[1] * 1000000 + clock[2], before)
local rev = math.max(before + 1, now)

local created, old = rev, 0
if found[1] then
  local _, c, d = struct.unpack('ddd', found[1])
  if d == 0 or d > now then created = c end
  old = d
end

-- Only reads lie behind: a call whose id is known answers what it answered then.
local answer = struct.pack('dd', rev, created)
if not redis.call('SET', KEYS[3], answer, 'NX', 'PX', ARGV[3]) then
  rev, created = struct.unpack('dd', redis.call('GET', KEYS[3]))
  return { rev, created }
end

local ttl = tonumber(ARGV[2])
local deadline = 0
if ttl > 0 then
  deadline = now + ttl
  redis.call('ZADD', KEYS[2] .. ':ttl', deadline, KEYS[1])
elseif old > 0 then
  redis.call('ZREM', KEYS[2] .. ':ttl', KEYS[1])
end
redis.call('MSET', KEYS[1], struct.pack('ddd', rev, created, deadline) .. ARGV[1], KEYS[2], rev)
redis.call('XADD', KEYS[2] .. ':log', 'MAXLEN', '~', 10000, string.format('%.0f-0', rev), 'p', before, 'k', KEYS[1])
return { rev, created }
