-- Returns the deployment that the keys under this prefix belong to; claims them if they belong to none.
-- KEYS deployment | ARGV id | the ID of the deployment that owns them
local id = redis.call('GET', KEYS[1])
if id then return id end
-- First a write that Redis accepts when its memory is full: the following ones are then accepted too. If the server
-- rejects all writes, nothing is claimed, and the holder of the observer lease tries again.
if type(redis.pcall('DEL', KEYS[1])) == 'number' then redis.pcall('SET', KEYS[1], ARGV[1]) end
return redis.call('GET', KEYS[1]) or ARGV[1]
