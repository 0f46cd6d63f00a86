-- Gives a session another name, and its key the role that the session has.
-- KEYS s, the new s, u z a | ARGV now sid, the new sid, uid
-- the record as it is then; nil if the session is not live; 0 if the new name is taken; -1 if it cannot be read
local s, s2, u, z, a = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local sid, sid2, uid = ARGV[2], ARGV[3], ARGV[4]
local it, text = record(s)
if it == nil then
  -- Run before, perhaps, and the answer was lost: nobody else knows of this name.
  it, text = record(s2)
  if it and it.uid == uid and it.exp > now then return text end
  return false
end
if not it then return CORRUPT end
if it.uid ~= uid or it.exp <= now then return false end
if call('EXISTS', s2) == 1 or call('ZSCORE', z, sid2) then return 0 end
local score, place = call('ZSCORE', z, sid), call('ZSCORE', u, sid)
if it.key then text = text:sub(1, KEY_ROLE_AT) .. it.role .. text:sub(KEY_ROLE_AT + 2) end
-- First what a full memory lets through, if it changes nothing: the rest takes no more memory than it gives back.
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
