-- What set_role does where a user has no session. A call of its own: the keys of a user without sessions do not exist, and a
-- script that finds one of its keys missing waits while its slot is being moved.
-- KEYS r | ARGV now uid role version replaces | as set_role
local r, uid = KEYS[1], ARGV[2]
local newest = in_force(r, uid)
if newest and newest > tonumber(ARGV[5]) then return { 1, 0, newest } end
call('ZREM', r, '-')
put_in_force(r, uid, tonumber(ARGV[4]), tonumber(ARGV[3]))
return { 1, 0, 0 }
