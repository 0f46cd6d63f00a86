-- Does what set_role does for a user without sessions. It is a script of its own because the keys of such a user do not
-- exist, and a script waits while its slot is being moved if one of its keys is missing.
-- KEYS r | ARGV now uid role version replaces | as set_role
local r, uid = KEYS[1], ARGV[2]
local newest = in_force(r, uid)
if newest and newest > tonumber(ARGV[5]) then return { 1, 0, newest } end
call('ZREM', r, '-')
put_in_force(r, uid, tonumber(ARGV[4]), tonumber(ARGV[3]))
return { 1, 0, 0 }
