-- Assigns the keys to a deployment, unless a server holds the lease.
-- KEYS lease deployment | ARGV deployment | 1 done; 0 a server is using them
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[2], ARGV[1])
return 1
