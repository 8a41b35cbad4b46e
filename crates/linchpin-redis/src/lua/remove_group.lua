-- ARGV: prefix, stream, group -> 1 if there was one
local name, group = ARGV[2], ARGV[3]
open()
local there = call('HDEL', book_of(name), 'g' .. group)
call('UNLINK', pending_of(name, group), marks_of(name, group))
if there == 1 and not is_dead_letters(name) then
  local dead = name .. '\0' .. group
  wipe(dead)
  wake(dead)
end
-- A stream that was only ever claimed from leaves nothing.
if call('EXISTS', book_of(name), P .. 's:' .. name) == 0 then call('ZREM', P .. 'streams', name) end
if there == 1 then wake(name) end
return there
