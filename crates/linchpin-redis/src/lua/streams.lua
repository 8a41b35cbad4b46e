-- Runs after the prelude, before every script on streams. Positions count from 1 without gaps and are the
-- first part of the record's id in the Redis stream.
--
--   streams             sorted set of all streams, for clearing
--   s:<stream>          the records: r = encoded record, x = a dead letter's story: deliveries, position, reason
--   sb:<stream>         hash, its book: last = the last position, start = that of a cleared stream of the same name,
--                       later = the last position of a delayed record, g<group> = how far the group has looked
--   sf:<stream>         the last position of a cleared stream, for a day
--   sl:<stream>         sorted set of the delayed records: '<position> <due>' by position
--   si:<length>:<stream><id>  the position of the record with this id, for the dedupe window; an id may contain
--                       anything, so the length of the stream's name says where it begins
--   sp:<stream>\0<group>  sorted set: position -> when it may be delivered again; no group contains a NUL
--   sc:<stream>\0<group>  sorted set: '<position>:<deliveries>', then h (held by a member) or w (waiting), by position:
--                       one of each position
local function entry_id(position) return num(position) .. '-0' end
local function book_of(name) return P .. 'sb:' .. name end
local function pending_of(name, group) return P .. 'sp:' .. name .. '\0' .. group end
local function marks_of(name, group) return P .. 'sc:' .. name .. '\0' .. group end
local function mark(position, deliveries, state) return num(position) .. ':' .. num(deliveries) .. state end
local function is_dead_letters(name) return string.find(name, '%z') end

-- Whether the server is full; to be asked before the first write. Writing nothing is refused as writing is.
local function is_full()
  local answer = redis.pcall('SETRANGE', P .. 'none', 0, '')
  return type(answer) == 'table' and answer.err and true
end

-- Notes the time where something is made due by it. The prelude notes how it goes on, once there is a note: a namespace
-- may have nothing but streams.
local function note_time()
  if not meta then
    meta = noted()
    call('SET', META, meta)
  end
end

-- Tells the members that wait for a stream. A wake-up that the server refuses changes nothing about what was done.
local function wake(name) redis.pcall('PUBLISH', KEYS[2] .. 'w:' .. name, '') end

-- The fields of the book, and how far each group has looked.
local function read_book(name)
  local fields, groups, list = {}, {}, call('HGETALL', book_of(name))
  for i = 1, #list, 2 do
    local field = list[i]
    if string.sub(field, 1, 1) == 'g' then
      groups[string.sub(field, 2)] = tonumber(list[i + 1])
    else
      fields[field] = tonumber(list[i + 1])
    end
  end
  return fields, groups
end

-- Where no key was ever written nobody noted how far time has come; what is delayed or held ends by it too.
local function keep_time()
  if not meta then redis.pcall('SET', META, noted()) end
  meta = true
end

-- The last position that the Redis stream knows of, though its record may be trimmed; 0 if there is no such stream.
local function newest(name)
  local told = redis.pcall('XINFO', 'STREAM', P .. 's:' .. name)
  for i = 1, #told, 2 do
    if told[i] == 'last-generated-id' then return tonumber(string.match(told[i + 1], '^%d+')) end
  end
  return 0
end

local function append(name, blob, due, story)
  local book = book_of(name)
  local position = call('HINCRBY', book, 'last', 1)
  keep_time()
  if position == 1 then
    -- It goes on after a cleared one of its name; and after its own records, should a server have lost the book.
    local before = math.max(tonumber(call('GET', P .. 'sf:' .. name) or '0'), newest(name))
    if before > 0 then
      position = before + 1
      call('HSET', book, 'last', num(position), 'start', num(before))
    end
    call('ZADD', P .. 'streams', 0, name)
  end
  if story then
    call('XADD', P .. 's:' .. name, entry_id(position), 'r', blob, 'x', story)
  else
    call('XADD', P .. 's:' .. name, entry_id(position), 'r', blob)
  end
  if due then
    call('ZADD', P .. 'sl:' .. name, num(position), num(position) .. ' ' .. num(due))
    call('HSET', book, 'later', num(position))
  end
  return position
end

-- The fields of an entry of a Redis stream.
local function fields_of(entry)
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  return fields
end

-- The fields of the record at a position, or nil if it is gone.
local function fetch(name, position)
  local entry = call('XRANGE', P .. 's:' .. name, entry_id(position), entry_id(position))[1]
  return entry and fields_of(entry)
end

-- Puts a record into the dead letters of a group, and returns their name. A dead letter has none: it is dropped.
local function bury(name, group, position, deliveries, reason, fields)
  if is_dead_letters(name) or not fields then return nil end
  local dead = name .. '\0' .. group
  append(dead, fields.r, nil, num(deliveries) .. ' ' .. num(position) .. ' ' .. reason)
  return dead
end

-- Removes a stream with its groups, but not their dead letters: those are streams of their own.
local function wipe(name)
  local fields, groups = read_book(name)
  -- For a day a new stream of this name goes on after it: a receipt of the old one must not fit the new one.
  local last = fields.last or newest(name)
  if last > 0 then call('SET', P .. 'sf:' .. name, num(last), 'PX', 86400000) end
  for group in pairs(groups) do call('UNLINK', pending_of(name, group), marks_of(name, group)) end
  call('UNLINK', P .. 's:' .. name, P .. 'sl:' .. name, book_of(name))
  call('ZREM', P .. 'streams', name)
end
