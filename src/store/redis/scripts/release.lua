-- KEYS lease | ARGV holder | lets go of the lease if it is the holder's
local found = redis.call('GET', KEYS[1])
if found and found:match('^(.*):') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
