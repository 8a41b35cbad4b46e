-- ARGV: prefix -> microseconds until the next deadline, or -1
sweep(128)
local next = call('ZRANGE', P .. 'ttl', 0, 0, 'WITHSCORES')
if not next[2] then return done('-1') end
return done(num(math.max(tonumber(next[2]) - now, 0)))
