-- ARGV: prefix, stream -> length, last position, then name, pending, lag, dead per group
local function delivered(name)
  local positions = {}
  if call('EXISTS', P .. 's:' .. name) == 0 then return positions end
  for _, info in ipairs(call('XINFO', 'GROUPS', P .. 's:' .. name)) do
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    positions[fields['name']] = tonumber(string.match(fields['last-delivered-id'], '^%d+'))
  end
  return positions
end
local name = ARGV[2]
local length = call('XLEN', P .. 's:' .. name)
local newest = tonumber(call('GET', P .. 'sm:' .. name) or '0')
local groups = {}
for group, position in pairs(delivered(name)) do
  local pending = call('ZCARD', P .. 'sp:' .. name .. '\0' .. group)
  -- Positions have no gaps, and what was trimmed is no lag.
  local lag = newest - math.max(position, newest - length)
  local dead = call('XLEN', P .. 's:' .. string.match(name, '^[^%z]*') .. '\0' .. group)
  groups[#groups + 1] = { group, num(pending), num(lag), num(dead) }
end
table.sort(groups, function(a, b) return a[1] < b[1] end)
return { num(length), num(newest), groups }
