-- KEYS lease | ARGV holder | releases the lease if the holder has it
local found = redis.call('GET', KEYS[1])
if found and found:match('^(.*):') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
