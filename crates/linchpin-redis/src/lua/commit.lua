-- ARGV: prefix, id or '', its window in ms, fingerprint (16 characters), '1' if something gets a TTL or 'f' if
-- nothing is done but deletions and renewals, number of guards, then per guard: key, condition (a, p, v or n), version;
-- then per mutation: op (put, del, add or ext), key, and two arguments. Everything is decided before the first write:
-- Redis has no rollback.
-- -> one packed text: 'c', revision, and per mutation what it did: created and TTL of a put (0 for none), 1 or 0 of
-- a delete, the text of a counter, the TTL of an extend or 0 | 'r', revision, guard, and if something stood there
-- version, created, left, key and value | 'e', mutation or -1, problem. Numbers are doubles but for lengths.

-- The answer of a guard that does not hold, and what stood there, if anything did.
local function refused(revision, guard, e, key)
  local reply = pack('<c1dd', 'r', revision, guard)
  if not e then return reply end
  return reply .. pack('<dddI4c0', e.m, e.c, left(e), #key, key) .. e.v
end

frees = ARGV[5] == 'f'
local id = ARGV[2]
if id ~= '' then
  local kept = call('GET', P .. 't:' .. id)
  if kept then
    if string.sub(kept, 1, 16) ~= ARGV[4] then return pack('<c1d', 'e', -1) .. 'id' end
    local outcome = string.sub(kept, 17)
    if string.sub(outcome, 1, 1) ~= 'R' then return outcome end
    local _, revision, guard, version, key = struct.unpack('<c1dddI4c0', outcome)
    local e = load(key)
    return done(refused(revision, guard, e and e.m == version and e, key))
  end
end
-- Whoever adds keys that end removes some that have ended, so that they never pile up.
if ARGV[5] == '1' then sweep(8) end

-- The outcome, whatever it is, is what a repeat gets: an attempt that arrives late changes nothing.
local function finish(reply, remembered)
  if id ~= '' then
    relieve()
    call('SET', P .. 't:' .. id, ARGV[4] .. (remembered or reply), 'PX', ARGV[3])
  end
  return done(reply)
end

-- The first live key that starts with `prefix`, and its fields.
local function first(prefix)
  while true do
    local key = call('ZRANGEBYLEX', P .. 'keys', '[' .. prefix, '(' .. prefix .. '\255', 'LIMIT', 0, 1)[1]
    if not key then return nil end
    local e, missing = load(key)
    if e then return e, key end
    if missing then remove_all({ key }) end
  end
end

local at = 7
for i = 1, tonumber(ARGV[6]) do
  local key, condition, wanted = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  at = at + 3
  local e, holds
  if condition == 'n' then
    e, key = first(key)
    holds = not e
  else
    e = load(key)
    if condition == 'a' then
      holds = not e
    elseif condition == 'p' then
      holds = e
    else
      holds = e and e.m == tonumber(wanted)
    end
  end
  if not holds then
    -- Remembered is what stood there, but not its value: that may be large, and refusals many.
    local remembered = e and pack('<c1dddI4c0', 'R', rev, i - 1, e.m, #key, key)
    return finish(refused(rev, i - 1, e, key), remembered)
  end
end

-- Whether a text is what a signed 64-bit integer is written as: no plus, no leading zeros, no -0, no spaces.
local function is_counter(text)
  if text == '0' then return true end
  local sign, digits = string.match(text, '^(%-?)([1-9]%d*)$')
  if not digits or #digits > 19 then return false end
  return #digits < 19 or digits <= (sign == '' and '9223372036854775807' or '9223372036854775808')
end

-- current + delta as 64-bit integers, both decimal text; nil if they overflow or current is no counter.
local function sum(current, delta)
  if not is_counter(current) then return nil, 'counter' end
  if #current <= 15 and #delta <= 15 then return num(tonumber(current) + tonumber(delta)) end
  -- Doubles end at 2^53; Redis itself adds exactly and knows the limits.
  call('SET', P .. 'sum', current)
  local ok = redis.pcall('INCRBY', P .. 'sum', delta)
  local result = call('GET', P .. 'sum')
  call('DEL', P .. 'sum')
  if type(ok) == 'table' and ok.err then return nil, 'overflow' end
  return result
end

-- What stands at the key of each mutation, and the value that it will write.
local mutations, found, values, writes = at, {}, {}, false
while at <= #ARGV do
  local op, e = ARGV[at], load(ARGV[at + 1])
  found[at], values[at] = e, ARGV[at + 2]
  if op == 'add' then
    local problem
    values[at], problem = sum(e and e.v or '0', ARGV[at + 2])
    if problem then return finish(pack('<c1d', 'e', (at - mutations) / 4) .. problem) end
  end
  writes = writes or op == 'put' or op == 'add' or (op == 'del' and e)
  at = at + 4
end
if writes then tick() end

-- Stores a key with its deadline, 0 for none.
local function store(key, m, c, due, old, value)
  call('SET', P .. 'k:' .. key, pack('<ddd', m, c, due) .. value)
  if due > 0 then
    call('ZADD', P .. 'ttl', num(due), key)
  elseif old and old.d > 0 then
    call('ZREM', P .. 'ttl', key)
  end
  if not old then call('ZADD', P .. 'keys', 0, key) end
end

-- Writes a value; a TTL of nil leaves the one that the key has.
local function write(key, e, value, ttl)
  local created, due = e and e.c or rev, 0
  if not ttl then
    due = e and e.d or 0
  elseif ttl > 0 then
    due = now + ttl
  end
  store(key, rev, created, due, e, value)
  changed(key, created, ttl or left(e), value)
  return created
end

local reply = { pack('<c1d', 'c', rev) }
for at = mutations, #ARGV, 4 do
  local op, key, ttl, e, result = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 3]) or 0, found[at], nil
  if op == 'put' then
    result = pack('<dd', write(key, e, values[at], ttl), ttl)
  elseif op == 'del' then
    if e then remove(key) end
    result = pack('<d', e and 1 or 0)
  elseif op == 'add' then
    -- A counter that exists keeps its time to live.
    write(key, e, values[at], not e and ttl or nil)
    result = pack('<I4c0', #values[at], values[at])
  elseif e and e.m == tonumber(ARGV[at + 2]) then
    -- Never earlier than before, and no new version.
    if e.d > 0 and now + ttl > e.d then
      relieve()
      store(key, e.m, e.c, now + ttl, e, e.v)
    end
    result = pack('<d', ttl)
  else
    result = pack('<d', 0)
  end
  reply[#reply + 1] = result
end
return finish(table.concat(reply))
