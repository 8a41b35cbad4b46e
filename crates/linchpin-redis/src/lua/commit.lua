-- ARGV: prefix, id or '', its window in ms, fingerprint, number of guards, then per guard: key, condition
-- (a, p or v), version; then per mutation: op (put, del, add or ext), key, and three arguments.
-- Everything is decided before the first write: Redis has no rollback.
-- -> 'c', revision, two values per mutation | 'r', revision, guard, entry | 'e', mutation or -1, problem
local id = ARGV[2]
if id ~= '' then
  local kept = redis.call('GET', P .. 't:' .. id)
  if kept then
    kept = cmsgpack.unpack(kept)
    if kept[1] ~= ARGV[4] then return { 'e', -1, 'id' } end
    return kept[2]
  end
end
sweep(8)

-- The outcome, whatever it is, is what a repeat gets: an attempt that arrives late changes nothing.
local function finish(reply)
  if id ~= '' then
    redis.call('SET', P .. 't:' .. id, cmsgpack.pack({ ARGV[4], reply }), 'PX', ARGV[3])
  end
  return reply
end

local at = 6
for i = 1, tonumber(ARGV[5]) do
  local key, condition, version = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  at = at + 3
  local e = load(key)
  local holds
  if condition == 'a' then
    holds = not e
  elseif condition == 'p' then
    holds = e
  else
    holds = e and e[1] == version
  end
  if not holds then
    if not e then return finish({ 'r', num(rev), i - 1 }) end
    return finish({ 'r', num(rev), i - 1, e[1], e[2], left(e), e[4] })
  end
end

-- current + delta as 64-bit integers, both decimal text; nil if they overflow or current is no integer.
local function sum(current, delta)
  if not string.find(current, '^%-?%d+$') then return nil, 'counter' end
  if #current <= 15 and #delta <= 15 then return num(tonumber(current) + tonumber(delta)) end
  -- Doubles end at 2^53; Redis itself adds exactly and knows the limits.
  redis.call('SET', P .. 'sum', current)
  local ok = redis.pcall('INCRBY', P .. 'sum', delta)
  local result = redis.call('GET', P .. 'sum')
  redis.call('DEL', P .. 'sum')
  if type(ok) == 'table' and ok.err then return nil, 'overflow' end
  return result
end

local plan, index = {}, 0
while at <= #ARGV do
  local op, key, a, b = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  at = at + 4
  local e = load(key)
  local step = { op = op, key = key, e = e, a = a, b = b }
  if op == 'add' then
    local problem
    step.value, problem = sum(e and e[4] or '0', a)
    if not step.value then return finish({ 'e', index, problem }) end
  end
  plan[#plan + 1] = step
  index = index + 1
end

local writes = false
for _, step in ipairs(plan) do
  if step.op == 'put' or step.op == 'add' or (step.op == 'del' and step.e) then writes = true end
end
if writes then tick() end

local function deadline(key, ttl)
  if ttl == '' then
    redis.call('HDEL', P .. 'k:' .. key, 'd')
    redis.call('ZREM', P .. 'ttl', key)
    return nil
  end
  local due = num(now + tonumber(ttl))
  redis.call('HSET', P .. 'k:' .. key, 'd', due)
  redis.call('ZADD', P .. 'ttl', due, key)
  return due
end

local function write(step, value)
  local created = step.e and step.e[2] or num(rev)
  redis.call('HSET', P .. 'k:' .. step.key, 'v', value, 'c', created, 'm', num(rev))
  if not step.e then redis.call('ZADD', P .. 'keys', 0, step.key) end
  return created
end

local reply = { 'c', num(rev) }
local function answer(a, b)
  reply[#reply + 1] = a
  reply[#reply + 1] = b or ''
end

local apply = {
  put = function(step)
    local created = write(step, step.a)
    record('put', step.key, deadline(step.key, step.b))
    answer(created, step.b)
  end,
  del = function(step)
    if step.e then remove(step.key) end
    answer(step.e and '1' or '0')
  end,
  add = function(step)
    write(step, step.value)
    -- A counter that exists keeps its time to live.
    local due = step.e and step.e[3] or nil
    if not step.e then due = deadline(step.key, step.b) end
    record('put', step.key, due)
    answer(step.value)
  end,
  ext = function(step)
    local e = step.e
    if not (e and e[1] == step.a) then return answer('') end
    -- Never earlier than before, and no new version.
    if e[3] and now + tonumber(step.b) > tonumber(e[3]) then deadline(step.key, step.b) end
    answer(step.b)
  end,
}
for _, step in ipairs(plan) do apply[step.op](step) end

return finish(reply)
