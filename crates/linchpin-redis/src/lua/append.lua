-- ARGV: prefix, stream, dedupe window in us, then per record: id or '', delay in us or '', encoded record
-- -> position and '1' if it was there already, per record
local name, window = ARGV[2], tonumber(ARGV[3])
local seen, forgotten = P .. 'sd:' .. name, P .. 'sx:' .. name
-- More than this call can add, so that they never pile up.
local old = call('ZRANGEBYSCORE', forgotten, '-inf', num(now), 'LIMIT', 0, 64 + #ARGV)
for _, id in ipairs(old) do
  call('HDEL', seen, id)
  call('ZREM', forgotten, id)
end
local reply, fresh = {}, false
for at = 4, #ARGV, 3 do
  local id, delay, blob = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local known = nil
  if id ~= '' then
    local expires = call('ZSCORE', forgotten, id)
    if expires and tonumber(expires) > now then known = call('HGET', seen, id) end
  end
  if known then
    reply[#reply + 1] = { known, '1' }
  else
    local due = nil
    if delay ~= '' then due = num(now + tonumber(delay)) end
    local position = num(append(name, blob, due))
    fresh = true
    if id ~= '' then
      call('HSET', seen, id, position)
      call('ZADD', forgotten, num(now + window), id)
    end
    reply[#reply + 1] = { position, '0' }
  end
end
if fresh then wake(name) end
return reply
