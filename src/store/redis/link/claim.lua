-- Which deployment the keys under this prefix belong to; they are claimed if they belong to none.
-- KEYS deployment | ARGV id | the id of the deployment that has them
local id = redis.call('GET', KEYS[1])
if id then return id end
-- First what a full memory lets through: what follows it is let through too. Where the server refuses all writes nothing is
-- claimed, and whoever holds the lease of the observer tries again.
if type(redis.pcall('DEL', KEYS[1])) == 'number' then redis.pcall('SET', KEYS[1], ARGV[1]) end
return redis.call('GET', KEYS[1]) or ARGV[1]
