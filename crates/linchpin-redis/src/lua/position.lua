-- ARGV: prefix -> id of the last record of the change log, for a reader to start after
if last == '' then return '0-0' end
return last
