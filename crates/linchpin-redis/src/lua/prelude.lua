-- Runs before every script. ARGV[1] is the namespace's prefix; keys are built from it, all in one hash slot.
--
--   meta        hash: r = last revision, n = how many revisions there were, t = latest time acted upon,
--               o = how far time runs ahead of the clock
--   k:<key>     hash: v = value, c = created, m = version, d = deadline in server microseconds, if any
--   keys        sorted set of all keys, for listing in the order of their bytes
--   ttl         sorted set: key -> deadline
--   t:<id>      the remembered outcome of a transaction
--   log         channel: the changes of each script, for watchers
local P, call, format = ARGV[1], redis.call, string.format
local function num(x) return format('%.0f', x) end

local META = P .. 'meta'
local meta = call('HMGET', META, 'r', 'n', 't', 'o')
local rev, count = tonumber(meta[1] or '0'), tonumber(meta[2] or '0')
local clock = call('TIME')
-- Time is the clock plus an offset. Where the clock steps back the offset grows by as much: nothing that
-- ended comes back to life, and time runs on at the clock's pace instead of standing still.
local now = clock[1] * 1000000 + clock[2] + (meta[4] or 0)
local acted = tonumber(meta[3] or '0')
if now < acted then
  call('HINCRBY', META, 'o', num(acted - now))
  now = acted
end

-- The next revision. Written before anything else, so that no failure after it can give it twice.
local version
local function tick()
  rev, count = math.max(rev + 1, now), count + 1
  version = num(rev)
  call('HSET', META, 'r', version, 't', num(now), 'n', count)
end

-- A value up to this length travels with its change; watchers read a longer one themselves.
local INLINE = 4096
local before, changes = count, nil
local function text(x) return #x .. ':' .. x end

-- Notes a change: of a key that was written at this revision, or deleted.
local function changed(key, created, ttl, value)
  local change = text(version) .. text(key)
  if not created then
    change = 'd' .. change
  elseif #value > INLINE then
    change = 'b' .. change .. text(ttl)
  else
    change = 'p' .. change .. text(ttl) .. text(created) .. text(value)
  end
  changes = (changes or '') .. change
end

-- Every script that may change keys returns through this: it tells the watchers. How many revisions there
-- were before and after lets them notice that they missed some.
local function done(reply)
  if changes then
    call('PUBLISH', P .. 'log', text(num(before)) .. text(num(count)) .. changes)
  end
  return reply
end

local function remove(key)
  call('DEL', P .. 'k:' .. key)
  call('ZREM', P .. 'keys', key)
  call('ZREM', P .. 'ttl', key)
  changed(key)
end

-- The fields m, c, d, v of a key, or nil. A key past its deadline is removed here and now, with a revision
-- of its own, before anybody decides anything by it.
local function load(key)
  local e = call('HMGET', P .. 'k:' .. key, 'm', 'c', 'd', 'v')
  if not e[1] then return nil end
  if e[3] and tonumber(e[3]) <= now then
    tick()
    remove(key)
    return nil
  end
  return e
end

local function left(e)
  if not e[3] then return '' end
  return num(tonumber(e[3]) - now)
end

-- Removes up to `limit` keys past their deadline.
local function sweep(limit)
  for _, key in ipairs(call('ZRANGEBYSCORE', P .. 'ttl', '-inf', num(now), 'LIMIT', 0, limit)) do
    if not load(key) then call('ZREM', P .. 'ttl', key) end
  end
end
