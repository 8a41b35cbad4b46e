-- Runs before every script. ARGV[1] is the namespace's prefix; keys are built from it, all in one hash slot.
--
--   meta        hash: r = last revision, l = id of the last record of the change log, t = latest time
--               acted upon, o = how far time runs ahead of the clock
--   k:<key>     hash: v = value, c = created, m = version, d = deadline in server microseconds, if any
--   keys        sorted set of all keys, for listing in the order of their bytes
--   ttl         sorted set: key -> deadline
--   log         stream of changes, id <revision>-<n>; p = id of the record before, t = put or del
--   t:<id>      the remembered outcome of a transaction
local P = ARGV[1]
local function num(x) return string.format('%.0f', x) end

local meta = redis.call('HMGET', P .. 'meta', 'r', 'l', 't', 'o')
local rev = tonumber(meta[1] or '0')
local last = meta[2] or ''
local clock = redis.call('TIME')
-- Time is the clock plus an offset. Where the clock steps back the offset grows by as much: nothing that
-- ended comes back to life, and time runs on at the clock's pace instead of standing still.
local now = clock[1] * 1000000 + clock[2] + tonumber(meta[4] or '0')
local acted = tonumber(meta[3] or '0')
if now < acted then
  redis.call('HINCRBY', P .. 'meta', 'o', num(acted - now))
  now = acted
end

-- The next revision.
local function tick()
  rev = math.max(rev + 1, now)
  redis.call('HSET', P .. 'meta', 'r', num(rev), 't', num(now))
  return rev
end

local records, recorded = 0, 0
local function record(kind, key, deadline)
  if recorded ~= rev then records, recorded = 0, rev end
  local id = num(rev) .. '-' .. records
  records = records + 1
  redis.call('XADD', P .. 'log', 'MAXLEN', '~', 10000, id, 'p', last, 't', kind, 'k', key, 'd', deadline or '')
  last = id
  redis.call('HSET', P .. 'meta', 'l', last)
end

local function remove(key)
  redis.call('DEL', P .. 'k:' .. key)
  redis.call('ZREM', P .. 'keys', key)
  redis.call('ZREM', P .. 'ttl', key)
  record('del', key)
end

-- The fields m, c, d, v of a key, or nil. A key past its deadline is removed here and now, with a revision
-- of its own, before anybody decides anything by it.
local function load(key)
  local e = redis.call('HMGET', P .. 'k:' .. key, 'm', 'c', 'd', 'v')
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
  local due = redis.call('ZRANGEBYSCORE', P .. 'ttl', '-inf', num(now), 'LIMIT', 0, limit)
  for _, key in ipairs(due) do
    if not load(key) then redis.call('ZREM', P .. 'ttl', key) end
  end
end
