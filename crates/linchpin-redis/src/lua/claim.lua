-- ARGV: prefix, stream, group, member, max, visibility in us, max deliveries or 0
-- -> us until something pending becomes due (-1 for never), then position, delivery, record, story per record
local name, group, member = ARGV[2], ARGV[3], ARGV[4]
local max, visibility, limit = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local stream = P .. 's:' .. name
local pending, counts = P .. 'sp:' .. name .. '\0' .. group, P .. 'sc:' .. name .. '\0' .. group
if call('SADD', P .. 'sg:' .. name, group) == 1 then
  call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
  call('ZADD', P .. 'streams', 0, name)
end

local given, bytes = {}, 0
local function give(position, deliveries, fields)
  call('ZADD', pending, num(now + visibility), num(position))
  call('HSET', counts, num(position), num(deliveries) .. 'h')
  bytes = bytes + #fields.r
  given[#given + 1] = { num(position), num(deliveries), fields.r, fields.x or '' }
end
local function wants() return #given < max and bytes < 4194304 end

-- First what is due again, then what the group has not looked at; so many at most, as a script holds up
-- everybody else.
local looked = 0
while wants() and looked < 1024 do
  local due = call('ZRANGEBYSCORE', pending, '-inf', num(now), 'LIMIT', 0, max - #given)
  if #due == 0 then break end
  table.sort(due, function(a, b) return tonumber(a) < tonumber(b) end)
  for _, text in ipairs(due) do
    looked = looked + 1
    local position = tonumber(text)
    local deliveries = tonumber(string.match(call('HGET', counts, text) or '0', '^%d+'))
    local fields = fetch(name, position)
    if not fields then
      forget(name, group, position)
    elseif limit > 0 and deliveries >= limit then
      bury(name, group, position, deliveries, 'max deliveries')
    else
      call('XCLAIM', stream, group, member, 0, entry_id(position), 'JUSTID')
      give(position, deliveries + 1, fields)
      if not wants() then break end
    end
  end
end

while wants() and looked < 1024 do
  local count = math.min(max - #given, 16)
  local found = call('XREADGROUP', 'GROUP', group, member, 'COUNT', count, 'STREAMS', stream, '>')
  if not found or not found[1] then break end
  for _, item in ipairs(found[1][2]) do
    looked = looked + 1
    local fields = {}
    for i = 1, #item[2], 2 do fields[item[2][i]] = item[2][i + 1] end
    local position = tonumber(string.match(item[1], '^%d+'))
    if fields.d and tonumber(fields.d) > now then
      -- Not due yet: parked, so that it does not hold up what comes after it.
      call('ZADD', pending, fields.d, num(position))
      call('HSET', counts, num(position), '0w')
    else
      give(position, 1, fields)
    end
  end
end

local next = call('ZRANGE', pending, 0, 0, 'WITHSCORES')
local wait = '-1'
if next[2] then wait = num(math.max(tonumber(next[2]) - now, 0)) end
if looked >= 1024 then wait = '0' end
return { wait, given }
