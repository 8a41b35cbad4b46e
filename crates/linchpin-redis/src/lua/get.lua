-- ARGV: prefix, keys... -> revision, then m, c, left, v or nil per key
local found = {}
for i = 2, #ARGV do
  local e = load(ARGV[i])
  found[i - 1] = e and { e[1], e[2], left(e), e[4] } or false
end
return done({ num(rev), found })
