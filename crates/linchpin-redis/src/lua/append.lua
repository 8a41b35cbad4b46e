-- ARGV: prefix, stream, dedupe window in ms, then per record: id or '', delay in us or '', encoded record
-- -> position and '1' if it was there already, per record
local name, window = ARGV[2], ARGV[3]

-- The position up to which record ids were forgotten: a stream that was cleared knows none of those before.
local function start()
  local fields = call('HMGET', book_of(name), 'last', 'start')
  if fields[1] then return tonumber(fields[2] or '0') end
  return tonumber(call('GET', P .. 'sf:' .. name) or '0')
end

local reply, fresh, delayed = {}, false, false
for at = 4, #ARGV, 3 do
  local id, delay, blob = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local own = P .. 'si:' .. #name .. ':' .. name .. id
  local known = id ~= '' and call('GET', own)
  if known and tonumber(known) <= start() then known = nil end
  if known then
    reply[#reply + 1] = { known, '1' }
  else
    local due = nil
    if delay ~= '' and delay ~= '0' then due = now + tonumber(delay) end
    local position = num(append(name, blob, due))
    fresh, delayed = true, delayed or due
    if id ~= '' then call('SET', own, position, 'PX', window) end
    reply[#reply + 1] = { position, '0' }
  end
end
if delayed then note_time() end
if fresh then wake(name) end
return reply
