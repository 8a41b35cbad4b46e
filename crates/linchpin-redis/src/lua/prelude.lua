-- Runs before every script. ARGV[1] is the namespace's prefix; keys are built from it, all in one hash slot.
--
--   meta        the last revision, how many revisions there were, the latest time acted upon, how far time runs
--               ahead of the clock: four doubles, little endian. All are below 2^53, where doubles are exact.
--   k:<key>     version, created, deadline (0 for none; times are microseconds of the server): three doubles;
--               then the value. One command reads both, so that a reader needs no script.
--   keys        sorted set of all keys, for listing in the order of their bytes
--   ttl         sorted set: key -> deadline
--   t:<id>      a transaction's fingerprint and its remembered outcome
--   log         channel: the changes of each script, for watchers
local P, call, pack = ARGV[1], redis.call, struct.pack
local function num(x) return string.format('%d', x) end

local META, meta, clock = P .. 'meta', redis.call('GET', ARGV[1] .. 'meta'), redis.call('TIME')
local rev, count, acted, offset = 0, 0, 0, 0
if meta then rev, count, acted, offset = struct.unpack('<dddd', meta) end
-- Time is the clock plus an offset. Where the clock steps back the offset grows by as much: nothing that
-- ended comes back to life, and time runs on at the clock's pace instead of standing still.
local now = clock[1] * 1000000 + clock[2] + offset
local function keep() call('SET', META, pack('<dddd', rev, count, now, offset)) end
if now < acted then
  offset = offset + acted - now
  now = acted
  keep()
end

-- The next revision. Written before anything else, so that no failure after it can give it twice.
local before = count
local function tick()
  rev, count = math.max(rev + 1, now), count + 1
  keep()
end

-- A value up to this length travels with its change; watchers read a longer one themselves.
local INLINE = 4096
local changes = ''

-- Notes a change: of a key that was written at this revision (with the TTL that it got, 0 for none), or deleted.
-- Packed by struct, little endian: text made of numbers takes longer than all the rest.
local function changed(key, created, ttl, value)
  if not created then
    changes = changes .. pack('<c1dI4c0', 'd', rev, #key, key)
  elseif #value > INLINE then
    changes = changes .. pack('<c1dI4c0d', 'b', rev, #key, key, ttl)
  else
    changes = changes .. pack('<c1dI4c0ddI4c0', 'p', rev, #key, key, ttl, created, #value, value)
  end
end

-- Every script that may change keys returns through this: it tells the watchers. How many revisions there
-- were before and after lets them notice that they missed some.
local function done(reply)
  if changes ~= '' then call('PUBLISH', P .. 'log', pack('<dd', before, count) .. changes) end
  return reply
end

local function remove(key)
  call('DEL', P .. 'k:' .. key)
  call('ZREM', P .. 'keys', key)
  call('ZREM', P .. 'ttl', key)
  changed(key)
end

-- Version, created, deadline and value of a key, or nil. A key past its deadline is removed here and now,
-- with a revision of its own, before anybody decides anything by it.
local function load(key)
  local stored = call('GET', P .. 'k:' .. key)
  if not stored then return nil end
  local m, c, d = struct.unpack('<ddd', stored)
  if d > 0 and d <= now then
    tick()
    remove(key)
    return nil
  end
  return { m = m, c = c, d = d, v = string.sub(stored, 25) }
end

-- How long a key lives yet, 0 for ever.
local function left(e) return e.d == 0 and 0 or e.d - now end

-- Removes up to `limit` keys past their deadline.
local function sweep(limit)
  for _, key in ipairs(call('ZRANGEBYSCORE', P .. 'ttl', '-inf', num(now), 'LIMIT', 0, limit)) do
    local e = load(key)
    if e and e.d > 0 then
      call('ZADD', P .. 'ttl', num(e.d), key)
    else
      -- Gone by now; or evicted by a server that is configured to, and written again without a TTL.
      call('ZREM', P .. 'ttl', key)
    end
  end
end
