-- ARGV: prefix, min, max (of ZRANGEBYLEX), limit, '1' with values, '1' to look at each deadline
-- -> revision, the time, '1' if there may be more, keys, and what is stored at each: of a reader who wants no values
-- the beginning, where it is long
--
-- Who asked takes apart what is stored, and asks again where something has ended that is not listed among what ends: a
-- script holds up everybody else.
frees = true
local limit, K = tonumber(ARGV[4]), P .. 'k:'
local ended = ARGV[6] == '1' or call('ZCOUNT', P .. 'ttl', '-inf', num(now)) > 0
local listed = call('ZRANGEBYLEX', P .. 'keys', ARGV[2], ARGV[3], 'LIMIT', 0, limit + 1)
local last, at, bytes = math.min(#listed, limit), 1, 0
local keys, values, gone = {}, {}, {}
-- A page of large values ends early, and few are read at once.
while at <= last and bytes <= 4194304 do
  local batch = {}
  for i = at, math.min(at + 31, last) do batch[#batch + 1] = K .. listed[i] end
  for i, stored in ipairs(call('MGET', unpack(batch))) do
    local d = 0
    if not stored or #stored < 24 then
      d = -1
    elseif ended then
      d = struct.unpack('<d', stored, 17)
    end
    if d == -1 or (d > 0 and d <= now) then
      gone[#gone + 1] = listed[at + i - 1]
    else
      bytes = bytes + #stored
      if ARGV[5] ~= '1' and #stored > 256 then stored = string.sub(stored, 1, 24) end
      keys[#keys + 1], values[#values + 1] = listed[at + i - 1], stored
    end
  end
  at = at + #batch
end
if #gone > 0 then
  for _, stored in ipairs(values) do rev = math.max(rev, (struct.unpack('<d', stored))) end
  remove_all(gone)
end
return done({ num(rev), num(now), at <= #listed and '1' or '0', keys, values })
