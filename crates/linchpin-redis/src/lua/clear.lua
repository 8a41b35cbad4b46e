-- ARGV: prefix, min, max (of ZRANGEBYLEX) -> how many names this call removed; 0 is the end
open()
local keys = call('ZRANGEBYLEX', P .. 'keys', ARGV[2], ARGV[3], 'LIMIT', 0, 256)
if #keys > 0 then
  tick()
  for _, key in ipairs(keys) do remove(key) end
end
local streams = call('ZRANGEBYLEX', P .. 'streams', ARGV[2], ARGV[3], 'LIMIT', 0, 16)
for _, name in ipairs(streams) do wipe(name) end
return done(#keys + #streams)
