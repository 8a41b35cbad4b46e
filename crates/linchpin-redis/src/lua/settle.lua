-- ARGV: prefix, then per settlement: stream, group, position, delivery, action (ack, retry, extend or reject),
-- argument -> '1' if it was done, '0' if the receipt is stale, per settlement
local reply = {}
for at = 2, #ARGV, 6 do
  local name, group, position = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local delivery, action, argument = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local pending, counts = P .. 'sp:' .. name .. '\0' .. group, P .. 'sc:' .. name .. '\0' .. group
  if call('HGET', counts, position) ~= delivery .. 'h' then
    reply[#reply + 1] = '0'
  else
    if action == 'ack' then
      forget(name, group, tonumber(position))
    elseif action == 'retry' then
      call('ZADD', pending, num(now + tonumber(argument)), position)
      call('HSET', counts, position, delivery .. 'w')
      wake(name)
    elseif action == 'extend' then
      call('ZADD', pending, num(now + tonumber(argument)), position)
    else
      bury(name, group, tonumber(position), tonumber(delivery), argument)
    end
    reply[#reply + 1] = '1'
  end
end
return reply
