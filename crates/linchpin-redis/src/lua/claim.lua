-- ARGV: prefix, stream, group, max, visibility in us, max deliveries or 0
-- -> '1' if there is more to look at, us until something pending becomes due (-1 for never; told where nothing was
-- given), then position, delivery, record, story per record
local name, group = ARGV[2], ARGV[3]
local max, visibility, limit = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local stream, delayed = P .. 's:' .. name, P .. 'sl:' .. name
local pending, marks = pending_of(name, group), marks_of(name, group)
local known = call('HMGET', book_of(name), 'g' .. group, 'later')
local looked, later = tonumber(known[1] or '0'), tonumber(known[2] or '0')

-- How many records a call looks at, and how many bytes it gives or buries, as a script holds up everybody else and
-- an answer must come in time over a slow line. Where that ends a call, the next one goes on.
local STEP, BYTES = 1024, 1048576
local given, taken, steps, bytes = {}, 0, 0, 0
local function wants() return taken < max and steps < STEP and bytes < BYTES end

-- What is to be noted of the records that were looked at: one command for many of them.
local dues, held = {}, {}
local function put(position, due, deliveries, state)
  dues[#dues + 1], held[#held + 1] = num(due), num(position)
  dues[#dues + 1], held[#held + 1] = num(position), mark(position, deliveries, state)
end
local function give(position, deliveries, fields)
  put(position, now + visibility, deliveries, 'h')
  taken, bytes = taken + 1, bytes + #fields.r
  given[taken] = { num(position), num(deliveries), fields.r, fields.x or '' }
end
local function flush()
  if #dues == 0 then return end
  open()
  keep_time()
  call('ZADD', pending, unpack(dues))
  call('ZADD', marks, unpack(held))
  dues, held = {}, {}
  note_time()
end

-- A group that is new; or a server that drops keys has dropped the book. Then what is noted of the group still holds
-- where positions go on, and is of another stream where they begin anew.
if not known[1] then
  open()
  local book = call('HMGET', book_of(name), 'last', 'start')
  local goes_on = book[2] or (not book[1] and newest(name) > 0)
  if not goes_on then call('UNLINK', pending, marks) end
  later = tonumber(call('ZREVRANGE', delayed, 0, 0, 'WITHSCORES')[2] or '0')
  if later > 0 then call('HSET', book_of(name), 'later', num(later)) end
  call('HSET', book_of(name), 'g' .. group, 0)
  call('ZADD', P .. 'streams', 0, name)
end

-- First what is due again.
local full, dead = nil, nil
while wants() do
  local count = math.min(max - taken, STEP - steps)
  -- More than are asked for where they may be exhausted.
  if limit > 0 then count = math.max(count, 64) end
  local due = call('ZRANGEBYSCORE', pending, '-inf', num(now), 'LIMIT', 0, count)
  if #due == 0 then break end
  if limit > 0 and full == nil then full = is_full() end
  table.sort(due, function(a, b) return tonumber(a) < tonumber(b) end)
  for _, text in ipairs(due) do
    if not wants() then break end
    local position, noted = tonumber(text), call('ZRANGEBYSCORE', marks, text, text)[1]
    local deliveries = tonumber(noted and string.match(noted, ':(%d+)') or '0')
    steps = steps + 1
    if limit > 0 and deliveries >= limit and full then
      -- A dead letter takes memory: once there is some, it is buried.
      open()
      call('ZADD', pending, num(now + 1000000), text)
    else
      local fields = fetch(name, position)
      if noted then call('ZREMRANGEBYSCORE', marks, text, text) end
      if fields and (limit == 0 or deliveries < limit) then
        give(position, deliveries + 1, fields)
      else
        dead = bury(name, group, position, deliveries, 'max deliveries', fields) or dead
        call('ZREM', pending, text)
        steps, bytes = steps + 3, bytes + (fields and #fields.r or 0)
      end
    end
  end
  flush()
end

-- Whether something is noted of a position that was not looked at: where how far the group had looked was lost. It
-- comes again as that says.
local last_noted = nil
local function is_noted(position)
  last_noted = last_noted or tonumber(call('ZREVRANGE', marks, 0, 0, 'WITHSCORES')[2] or '0')
  return position <= last_noted and call('ZCOUNT', marks, num(position), num(position)) > 0
end

-- Then what the group has not looked at. Those whose delay has not passed are parked, so that they do not hold up
-- what comes after them: by the index of delays, which says of many at once that there is nothing to be read.
local at, ahead, nth, batch = looked, {}, 1, 4
local function next_delayed()
  if nth > #ahead then
    if at >= later then return nil end
    ahead, nth = call('ZRANGEBYSCORE', delayed, '(' .. num(at), '+inf', 'LIMIT', 0, 256), 1
    if #ahead == 0 then
      later = at
      return nil
    end
  end
  local position, due = string.match(ahead[nth], '^(%d+) (%d+)$')
  return tonumber(position), tonumber(due)
end
while wants() do
  local position, due = next_delayed()
  if position and due <= now then
    -- No different from others any more, and never again.
    open()
    call('ZREM', delayed, ahead[nth])
    nth, steps = nth + 1, steps + 1
  elseif position == at + 1 then
    if not is_noted(position) then put(position, due, 0, 'w') end
    at, nth, steps = position, nth + 1, steps + 1
  else
    local count = math.min(max - taken, batch, STEP - steps)
    local last = position and entry_id(position - 1) or '+'
    local found = call('XRANGE', stream, entry_id(at + 1), last, 'COUNT', count)
    for _, entry in ipairs(found) do
      if not wants() then break end
      at, steps = tonumber(string.match(entry[1], '^%d+')), steps + 1
      if not is_noted(at) then give(at, 1, fields_of(entry)) end
    end
    if #found < count and wants() then
      if not position then break end
      at = position - 1
    end
    -- As many more as are likely to fit into the answer.
    if taken > 0 then batch = math.max(1, math.min(64, math.floor((BYTES - bytes) * taken / (bytes + 1)) + 1)) end
  end
end
flush()
if at > looked then
  open()
  call('HSET', book_of(name), 'g' .. group, num(at))
end
if dead then wake(dead) end
if taken > 0 then return { '0', '-1', given } end
if steps >= STEP or bytes >= BYTES then return { '1', '0', given } end
-- A server that drops keys may have dropped when what is held or waits becomes due: then that is now.
if call('ZCARD', pending) < call('ZCARD', marks) then
  open()
  local found_again = 0
  for first = 0, call('ZCARD', marks) - 1, 1024 do
    local found, lost = call('ZRANGE', marks, first, first + 1023, 'WITHSCORES'), {}
    for i = 2, #found, 2 do
      lost[i - 1], lost[i] = num(now), found[i]
    end
    found_again = found_again + call('ZADD', pending, 'NX', unpack(lost))
  end
  if found_again > 0 then return { '1', '0', given } end
end
local next, wait = call('ZRANGE', pending, 0, 0, 'WITHSCORES'), '-1'
if next[2] then wait = num(math.max(tonumber(next[2]) - now, 0)) end
return { '0', wait, given }
