-- ARGV: prefix, min, max (of ZRANGEBYLEX), limit, '1' with values
-- -> revision, '1' if there may be more, entries of key, version, created, left, value
frees = true
local limit = tonumber(ARGV[4])
local keys = call('ZRANGEBYLEX', P .. 'keys', ARGV[2], ARGV[3], 'LIMIT', 0, limit + 1)
local found, gone, bytes, more = {}, {}, 0, '0'
for i, key in ipairs(keys) do
  -- A page of large values ends early: a script holds up everybody else.
  if i > limit or bytes > 4194304 then
    more = '1'
    break
  end
  local e = look(key)
  if not e then gone[#gone + 1] = key end
  if e then
    local value = ''
    if ARGV[5] == '1' then value = e.v end
    bytes = bytes + #value
    found[#found + 1] = { key, num(e.m), num(e.c), num(left(e)), value }
  end
end
remove_all(gone)
return done({ num(rev), more, found })
