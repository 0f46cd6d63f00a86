-- Ends those of these sessions that have expired.
-- KEYS z a n, then the records, then for each the sessions of its user (the record again where that is not known)
-- ARGV now, then the sessions, then for each the uid, or nothing where it is not known
-- {how many ended, [end …]}
local z, a, n = KEYS[1], KEYS[2], KEYS[3]
local size, due, users, leaving = (#ARGV - 1) / 2, {}, {}, {}
for i = 1, size do
  local sid, s, u, uid = ARGV[1 + i], KEYS[3 + i], KEYS[3 + size + i], ARGV[1 + size + i]
  local score, it = call('ZSCORE', z, sid), head(s)
  score = score and tonumber(score)
  -- Of another user than the caller found it to be, it is left to the next time.
  if score and expiry(score) <= now and (it and it.uid or '') == uid then
    due[#due + 1] = { sid = sid, s = s, score = score, head = it }
    if uid ~= '' then
      users[uid] = users[uid] or { u = u, gone = {} }
      users[uid].gone[sid] = true
    end
  end
end
-- Also users of sessions whose record could not be read.
for role = 0, 3 do
  local expired = call('ZRANGEBYSCORE', a, score_of(role, 0), score_of(role, now), 'LIMIT', 0, 1000)
  for _, uid in ipairs(expired) do
    if not users[uid] then leaving[#leaving + 1] = uid end
  end
end
for uid, user in pairs(users) do
  user.top, user.dropped = rest(user.u, z, user.gone)
  if user.top == 0 and call('ZSCORE', a, uid) then leaving[#leaving + 1] = uid end
end
local ended, indexed = {}, {}
for i, it in ipairs(due) do
  call('DEL', it.s)
  indexed[i] = it.sid
  ended[#ended + 1] = finish(it.sid, it.score, it.head, IDLE)
end
remove(z, indexed)
for uid, user in pairs(users) do
  remove(user.u, user.dropped)
  if user.top > 0 then index(a, uid, user.top) end
end
remove(a, leaving)
count(n)
return { #due, ended }
