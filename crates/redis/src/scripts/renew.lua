-- Gives a session a new ID, and its key the current role of the session.
-- KEYS s, the new s, u z a | ARGV now sid, the new sid, uid
-- Returns the record afterwards; nil if the session is not live; 0 if the new ID is taken; -1 if the record cannot be
-- read.
local s, s2, u, z, a = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local sid, sid2, uid = ARGV[2], ARGV[3], ARGV[4]
local it, text = record(s)
if it == nil then
  -- The script may have run before and its response was lost: no other caller knows this ID.
  it, text = record(s2)
  if it and it.uid == uid and it.exp > now then return text end
  return false
end
if not it then return CORRUPT end
if it.uid ~= uid or it.exp <= now then return false end
if call('EXISTS', s2) == 1 or call('ZSCORE', z, sid2) then return 0 end
local score, place = call('ZSCORE', z, sid), call('ZSCORE', u, sid)
if it.key then text = text:sub(1, KEY_ROLE_AT) .. it.role .. text:sub(KEY_ROLE_AT + 2) end
-- First a write that Redis accepts when its memory is full, and that changes nothing: the remaining writes need no more
-- memory than they free.
call('ZREM', a, '')
call('DEL', s)
call('SET', s2, text, 'PX', S(it.exp - now + GRACE))
if place then
  call('ZADD', u, place, sid2)
  call('ZREM', u, sid)
end
if score then
  call('ZADD', z, score, sid2)
  call('ZREM', z, sid)
end
return text
