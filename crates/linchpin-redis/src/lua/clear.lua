-- ARGV: prefix, min, max (of ZRANGEBYLEX) -> how many names this call removed; 0 is the end
frees = true
local keys = call('ZRANGEBYLEX', P .. 'keys', ARGV[2], ARGV[3], 'LIMIT', 0, 256)
if #keys > 0 then
  tick()
  for _, key in ipairs(keys) do remove(key) end
end
local streams = call('ZRANGEBYLEX', P .. 'streams', ARGV[2], ARGV[3], 'LIMIT', 0, 16)
for _, name in ipairs(streams) do
  -- For a day a new stream of this name goes on after it: a receipt of the old one must not fit the new one.
  local last = call('GET', P .. 'sm:' .. name)
  if last then call('SET', P .. 'sf:' .. name, last, 'PX', 86400000) end
  for _, group in ipairs(call('SMEMBERS', P .. 'sg:' .. name)) do
    call('UNLINK', P .. 'sp:' .. name .. '\0' .. group, P .. 'sc:' .. name .. '\0' .. group)
  end
  call('UNLINK', P .. 's:' .. name, P .. 'sm:' .. name, P .. 'sg:' .. name, P .. 'sd:' .. name, P .. 'sx:' .. name)
  call('ZREM', P .. 'streams', name)
end
return done(#keys + #streams)
