-- ARGV: prefix, stream, 'newest', 'from' or 'unsettled', number -> how many records were dropped
local name, stream = ARGV[2], P .. 's:' .. ARGV[2]
if call('EXISTS', stream) == 0 then return 0 end
local keep = tonumber(ARGV[4])
if ARGV[3] == 'newest' then
  keep = tonumber(call('GET', P .. 'sm:' .. name) or '0') - keep + 1
elseif ARGV[3] == 'unsettled' then
  if call('EXISTS', P .. 'sg:' .. name) == 0 then return 0 end
  keep = math.huge
end
-- What a group has not settled, or not looked at, stays.
for _, info in ipairs(call('XINFO', 'GROUPS', stream)) do
  local fields = {}
  for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
  local looked = tonumber(string.match(fields['last-delivered-id'], '^%d+'))
  keep = math.min(keep, looked + 1)
  local unsettled = call('XPENDING', stream, fields['name'])
  if unsettled[2] then keep = math.min(keep, tonumber(string.match(unsettled[2], '^%d+'))) end
end
if keep <= 1 then return 0 end
return call('XTRIM', stream, 'MINID', '=', entry_id(keep))
