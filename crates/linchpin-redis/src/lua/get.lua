-- ARGV: prefix, keys... -> revision, then version, created, left, value or nil per key
frees = true
local found = {}
for i = 2, #ARGV do
  local e = load(ARGV[i])
  found[i - 1] = e and { num(e.m), num(e.c), num(left(e)), e.v } or false
end
return done({ num(rev), found })
