-- Runs after the prelude, before every script on streams. Positions count from 1 without gaps and are the
-- first part of the record's id in the Redis stream.
--
--   streams             sorted set of all streams, for clearing
--   s:<stream>          the records: r = encoded record, d = due if delayed, x = a dead letter's story: deliveries, position, reason
--   sm:<stream>         the last position; sf:<stream> that of a cleared stream of the same name
--   sd:<stream>         hash: record id -> position; sx:<stream> sorted set: record id -> when it is forgotten
--   sg:<stream>         set of the groups
--   sp:<stream>\0<group>  sorted set: position -> when it may be delivered again
--   sc:<stream>\0<group>  hash: position -> deliveries, then h (held by a member) or w (waiting)
local function entry_id(position) return num(position) .. '-0' end

local function wake(name) call('PUBLISH', KEYS[2] .. 'w:' .. name, '') end

local function append(name, blob, due, story)
  local cleared = call('GET', P .. 'sf:' .. name)
  if cleared then call('SETNX', P .. 'sm:' .. name, cleared) end
  local position = call('INCR', P .. 'sm:' .. name)
  local fields = { 'r', blob }
  if due then fields = { 'r', blob, 'd', due } end
  if story then fields = { 'r', blob, 'x', story } end
  call('XADD', P .. 's:' .. name, entry_id(position), unpack(fields))
  call('ZADD', P .. 'streams', 0, name)
  return position
end

-- The fields of the record at a position, or nil if it is gone.
local function fetch(name, position)
  local found = call('XRANGE', P .. 's:' .. name, entry_id(position), entry_id(position))
  if not found[1] then return nil end
  local fields, list = {}, found[1][2]
  for i = 1, #list, 2 do fields[list[i]] = list[i + 1] end
  return fields
end

local function forget(name, group, position)
  call('XACK', P .. 's:' .. name, group, entry_id(position))
  call('ZREM', P .. 'sp:' .. name .. '\0' .. group, num(position))
  call('HDEL', P .. 'sc:' .. name .. '\0' .. group, num(position))
end

local function bury(name, group, position, deliveries, reason)
  local fields = fetch(name, position)
  -- Dead letters of dead letters are those of the stream itself; a group's own are there already.
  local dead = string.match(name, '^[^%z]*') .. '\0' .. group
  if fields and dead ~= name then
    append(dead, fields.r, nil, num(deliveries) .. ' ' .. num(position) .. ' ' .. reason)
    wake(dead)
  end
  forget(name, group, position)
end
