-- ARGV: prefix, stream, 'newest', 'from' or 'unsettled', number -> how many records were dropped, '1' if more may go
local name, stream = ARGV[2], P .. 's:' .. ARGV[2]
local length, fields, groups = call('XLEN', stream), read_book(name)
local last = fields.last
if length == 0 or not last then return { 0, '0' } end
local keep = last + 1
if ARGV[3] == 'newest' then
  keep = last + 1 - tonumber(ARGV[4])
elseif ARGV[3] == 'from' then
  keep = math.min(keep, tonumber(ARGV[4]))
elseif not next(groups) then
  keep = 0
end
-- What a group has not settled, or not looked at, stays.
for group, looked in pairs(groups) do
  keep = math.min(keep, looked + 1)
  local unsettled = call('ZRANGE', marks_of(name, group), 0, 0, 'WITHSCORES')
  if unsettled[2] then keep = math.min(keep, tonumber(unsettled[2])) end
end
-- Some at a time: a script holds up everybody else.
local first = last - length + 1
local bound = math.min(keep, first + 10000)
if bound <= first then return { 0, '0' } end
local dropped = call('XTRIM', stream, 'MINID', '=', entry_id(bound))
call('ZREMRANGEBYSCORE', P .. 'sl:' .. name, '-inf', '(' .. num(bound))
return { dropped, dropped > 0 and bound < keep and '1' or '0' }
