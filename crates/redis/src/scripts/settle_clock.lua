-- Corrects sessions that were written while the clock was ahead: they start now, and were last used now.
-- KEYS z a, then the records, then for each the sessions of its user (the record again if the user is unknown)
-- ARGV now, then the sessions, then the uid of each, or nothing if it is unknown
-- Returns how many there were.
local z, a = KEYS[1], KEYS[2]
local size, ahead, users = (#ARGV - 1) / 2, {}, {}
for i = 1, size do
  local sid, s, u, uid = ARGV[1 + i], KEYS[2 + i], KEYS[2 + size + i], ARGV[1 + size + i]
  local it = uid ~= '' and head(s)
  if it and it.uid == uid and it.seen > now then
    it.sid, it.s, it.score = sid, s, call('ZSCORE', z, sid)
    ahead[#ahead + 1] = it
    users[uid] = u
  end
end
for _, it in ipairs(ahead) do
  local ends = it.ends - math.max(it.born - now, 0)
  local exp = math.min(it.exp, now + it.idle, ends)
  -- First a write that Redis accepts when its memory is full: the remaining writes, which need no memory, are then
  -- accepted too.
  call('PEXPIRE', it.s, S(math.max(exp - now, 0) + GRACE))
  call('SETRANGE', it.s, 0, T(exp) .. T(now) .. T(ends) .. T(math.min(it.born, now)))
  if it.score then call('ZADD', z, score_of(role_of(tonumber(it.score)), exp), it.sid) end
end
for uid, u in pairs(users) do
  local plan = without({}, u, z, uid)
  if plan.top > 0 then call('ZADD', a, S(plan.top), uid) end
end
return #ahead
