-- ARGV: prefix. How far time has come is noted before every script.
return 1
