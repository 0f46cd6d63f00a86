-- Ends those of these sessions that have expired.
-- KEYS z a n, then the records, then for each the sessions of its user (the record again if the user is unknown)
-- ARGV now, then the sessions, then the uid of each, or nothing if it is unknown
-- {number of ended sessions, [end …]}
local z, a, n = KEYS[1], KEYS[2], KEYS[3]
local size, due, users = (#ARGV - 1) / 2, {}, {}
for i = 1, size do
  local sid, s, u, uid = ARGV[1 + i], KEYS[3 + i], KEYS[3 + size + i], ARGV[1 + size + i]
  local score, it = call('ZSCORE', z, sid), head(s)
  score = score and tonumber(score)
  -- The session now belongs to another user than the caller found: it is left to the next run.
  if score and expiry(score) <= now and (it and it.uid or '') == uid then
    due[#due + 1] = { sid = sid, s = s, u = uid ~= '' and u, score = score, head = it }
    if uid ~= '' then users[uid] = u end
  end
end
local gone, sids, ended, plans, absent = {}, {}, {}, {}, {}
for i, it in ipairs(due) do gone[it.sid], sids[i] = true, it.sid end
for uid, u in pairs(users) do plans[#plans + 1] = without(gone, u, z, uid) end
-- Also removes the users of sessions whose record could not be read.
for role = 0, 3 do
  local expired = call('ZRANGEBYSCORE', a, score_of(role, 0), score_of(role, now), 'LIMIT', 0, 200)
  for _, uid in ipairs(expired) do
    if not users[uid] then absent[#absent + 1] = uid end
  end
end
drop(z, sids)
for _, it in ipairs(due) do
  call('DEL', it.s)
  ended[#ended + 1] = finish(it.sid, it.score, it.head, IDLE)
end
follow(a, plans, absent)
count(n)
return { #due, ended }
