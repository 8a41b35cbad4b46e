-- ARGV: prefix, stream -> length, last position or 0, then name, pending, lag, dead per group
local name = ARGV[2]
local length, fields, looked = call('XLEN', P .. 's:' .. name), read_book(name)
local newest, groups = fields.last or 0, {}
for group, position in pairs(looked) do
  local pending = call('ZCARD', pending_of(name, group))
  -- Positions have no gaps, and what was trimmed is no lag.
  local lag = newest - math.max(position, newest - length)
  -- There are no dead letters of dead letters.
  local dead = string.find(name, '%z') and 0 or call('XLEN', P .. 's:' .. name .. '\0' .. group)
  groups[#groups + 1] = { group, num(pending), num(lag), num(dead) }
end
return { num(length), num(newest), groups }
