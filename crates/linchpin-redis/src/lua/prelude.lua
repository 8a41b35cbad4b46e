-- Runs before every script. ARGV[1] is the namespace's prefix; keys are built from it, all in one hash slot. KEYS[2] is
-- what its channels start with: channels know no databases, so the number of this one is part of it.
--
--   meta        the last revision, the epoch, the latest time acted upon, how far time runs ahead of the clock: four
--               doubles, little endian. All are below 2^53, where doubles are exact. The epoch is another once something
--               changed that nobody was told of: whoever watches then reads all again.
--   k:<key>     version, created, deadline (0 for none; times are microseconds of the server): three doubles;
--               then the value. One command reads both, so that a reader needs no script.
--   keys        sorted set of all keys, for listing in the order of their bytes
--   ttl         sorted set: key -> deadline
--   t:<id>      a transaction's fingerprint and its remembered outcome
--   none        never there
--   log         channel: who looked for what has ended, and the beats of sweep.lua, for everybody who watches
--   log:<topic> channel: the changes of each script to keys of a topic: of those that are alike up to their second '/'
--   key:<key>   channel: the changes of a key that shares its topic, for who watches nothing else there
local P, call, pack = ARGV[1], redis.call, struct.pack
local function num(x) return string.format('%d', x) end

local META, meta, clock = P .. 'meta', redis.call('GET', ARGV[1] .. 'meta'), redis.call('TIME')
local rev, epoch, acted, offset = 0, 0, 0, 0
if meta then rev, epoch, acted, offset = struct.unpack('<dddd', meta) end
-- Time is the clock plus an offset. Where the clock steps back the offset grows by as much: nothing that
-- ended comes back to life, and time runs on at the clock's pace instead of standing still.
local now = clock[1] * 1000000 + clock[2] + offset
local stood = now < acted
if stood then
  offset = offset + acted - now
  now = acted
end
if not meta then epoch = now end
local function noted() return pack('<dddd', rev, epoch, now, offset) end
-- How far time is noted to have come may lag behind by so much, in microseconds: a clock that steps back can then give
-- no more to what lives, whoever came last only read or renewed. A server that takes no write says so where one is needed.
local NOTED = 100000
-- A server that drops keys may have dropped this one: what is there was written before now, and is not newer than what
-- a reader reads at.
local dropped = not meta and call('EXISTS', P .. 'keys') == 1
if dropped then rev = now end
if stood or dropped or (meta and now - acted > NOTED) then
  redis.pcall('SET', META, noted())
end

-- A full server (maxmemory with noeviction) looks at the first write of a script only. One that takes no memory in
-- the end, or next to none, begins with a write that is never refused: what relieves the server works when it is full.
local opened = false
local function open()
  if not opened then call('DEL', P .. 'none') end
  opened = true
end

-- Set by scripts that change keys only to remove them, and may have nothing to remove.
local frees = false
local function relieve()
  if frees then open() end
end

-- Calls for a script that has changed something. Of what one that fails half way has changed nobody was told: another
-- epoch has everybody who watches read all again. Then it fails once more, as it did.
local function careful(...)
  local answer = redis.pcall(...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  epoch = math.max(epoch + 1, now)
  redis.pcall('SET', META, noted())
  return redis.call(...)
end

-- The next revision. Written before anything else, so that no failure after it can give it twice.
local function tick()
  relieve()
  rev = math.max(rev + 1, now)
  call('SET', META, noted())
  call = careful
end

-- A value up to this length travels with its change; watchers read a longer one themselves.
local INLINE = 4096
local changes, shared = {}, {}

-- Notes a change: of a key that was written at this revision (with the TTL that it got, 0 for none), or deleted.
-- Packed by struct, little endian: text made of numbers takes longer than all the rest. What comes one after the other
-- in a topic goes together; a watcher of many hears all in the order in which it came.
local function changed(key, created, ttl, value)
  local topic, last, change = string.match(key, '^[^/]*/[^/]*/') or key, changes[#changes], nil
  if not created then
    change = pack('<c1dI4c0', 'd', rev, #key, key)
  elseif #value > INLINE then
    change = pack('<c1dI4c0d', 'b', rev, #key, key, ttl)
  else
    change = pack('<c1dI4c0ddI4c0', 'p', rev, #key, key, ttl, created, #value, value)
  end
  if last and last.topic == topic then
    last[#last + 1] = change
  else
    changes[#changes + 1] = { topic = topic, pack('<d', epoch), change }
  end
  if topic ~= key then shared[#shared + 1] = { 'key:' .. key, pack('<d', epoch) .. change } end
end

-- Every script that may change keys returns through this: it tells the watchers.
local function done(reply)
  for _, told in ipairs(changes) do call('PUBLISH', KEYS[2] .. 'log:' .. told.topic, table.concat(told)) end
  for _, told in ipairs(shared) do call('PUBLISH', KEYS[2] .. told[1], told[2]) end
  return reply
end

local function remove(key)
  call('DEL', P .. 'k:' .. key)
  call('ZREM', P .. 'keys', key)
  call('ZREM', P .. 'ttl', key)
  changed(key)
end

-- Removes keys that ended or that somebody else took away, each with a revision of its own.
local function remove_all(gone)
  if #gone == 0 then return end
  relieve()
  local first, names = math.max(rev + 1, now), {}
  rev = first + #gone - 1
  call('SET', META, noted())
  call = careful
  for i, key in ipairs(gone) do
    rev, names[i] = first + i - 1, P .. 'k:' .. key
    changed(key)
  end
  call('DEL', unpack(names))
  call('ZREM', P .. 'keys', unpack(gone))
  call('ZREM', P .. 'ttl', unpack(gone))
end

-- Version, created, deadline and value of a key; or nil, and then whether there is nothing at all. What somebody else put
-- there is nothing: a script that has changed something must not fail at it.
local function look(key)
  local stored = redis.pcall('GET', P .. 'k:' .. key)
  if type(stored) ~= 'string' or #stored < 24 then return nil, true end
  local m, c, d = struct.unpack('<ddd', stored)
  if m > rev then rev = m end
  if d > 0 and d <= now then return nil, false end
  return { m = m, c = c, d = d, v = string.sub(stored, 25) }
end

-- The same. A key past its deadline is removed here and now, with a revision of its own, before anybody decides
-- anything by it. A key that is listed and not there was deleted or evicted behind our back: whoever goes by the list
-- removes it, and it is told.
local function load(key)
  local e, missing = look(key)
  if missing == false then remove_all({ key }) end
  return e, missing
end

-- How long a key lives yet, 0 for ever.
local function left(e) return e.d == 0 and 0 or e.d - now end

-- The deadline of a key: 0 for none, -1 for one that is not there, or is none of ours.
local function deadline(key)
  local stored = redis.pcall('GETRANGE', P .. 'k:' .. key, 16, 23)
  if type(stored) ~= 'string' or #stored < 8 then return -1 end
  return struct.unpack('<d', stored)
end

-- Removes up to `limit` keys past their deadline, or that are not there any more.
local function sweep(limit)
  local gone = {}
  for _, key in ipairs(call('ZRANGEBYSCORE', P .. 'ttl', '-inf', num(now), 'LIMIT', 0, limit)) do
    local d = deadline(key)
    if d > now then
      call('ZADD', P .. 'ttl', num(d), key)
    elseif d == 0 then
      -- Written again without a TTL after it was taken away.
      call('ZREM', P .. 'ttl', key)
    else
      gone[#gone + 1] = key
    end
  end
  remove_all(gone)
end
