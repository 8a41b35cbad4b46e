-- ARGV: prefix, then per settlement: stream, group, position, delivery, action (ack, retry, extend or reject),
-- argument -> '1' if it was done, '0' if the receipt is stale, per settlement
-- Dead letters take memory: a full server refuses them, with all that was to be settled together with them.
local rejects = false
for at = 6, #ARGV, 6 do rejects = rejects or ARGV[at] == 'reject' end
if rejects then call('SETRANGE', P .. 'none', 0, '') end

local reply, woken = {}, {}
for at = 2, #ARGV, 6 do
  local name, group, position = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local delivery, action, argument = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local pending, marks = pending_of(name, group), marks_of(name, group)
  local held, done = position .. ':' .. delivery .. 'h', nil
  if action == 'extend' then
    done = call('ZSCORE', marks, held)
    if done then
      local due, before = now + tonumber(argument), call('ZSCORE', pending, position)
      open()
      call('ZADD', pending, num(due), position)
      note_time()
      -- Whoever waits for it to come back waits for less.
      if before and due < tonumber(before) then woken[name] = true end
    end
  else
    done = call('ZREM', marks, held) == 1
    if done and action == 'retry' then
      call('ZADD', pending, num(now + tonumber(argument)), position)
      call('ZADD', marks, position, position .. ':' .. delivery .. 'w')
      woken[name] = true
      note_time()
    elseif done then
      call('ZREM', pending, position)
      if action == 'reject' then
        local fields = fetch(name, tonumber(position))
        local dead = bury(name, group, tonumber(position), tonumber(delivery), argument, fields)
        if dead then woken[dead] = true end
      end
    end
  end
  reply[#reply + 1] = done and '1' or '0'
end
for name in pairs(woken) do wake(name) end
return reply
