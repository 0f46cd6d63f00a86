-- Ends those of these sessions that have expired.
-- KEYS z a n, then the records, then for each the sessions of its user (the record again where that is not known)
-- ARGV now, then the sessions, then for each the uid, or nothing where it is not known
-- {how many ended, [end …]}
local z, a, n = KEYS[1], KEYS[2], KEYS[3]
local size, due, users = (#ARGV - 1) / 2, {}, {}
for i = 1, size do
  local sid, s, u, uid = ARGV[1 + i], KEYS[3 + i], KEYS[3 + size + i], ARGV[1 + size + i]
  local score, it = call('ZSCORE', z, sid), head(s)
  score = score and tonumber(score)
  -- Of another user than the caller found it to be, it is left to the next time.
  if score and expiry(score) <= now and (it and it.uid or '') == uid then
    due[#due + 1] = { sid = sid, s = s, u = uid ~= '' and u, score = score, head = it }
    if uid ~= '' then users[uid] = u end
  end
end
local ended = {}
for _, it in ipairs(due) do
  call('DEL', it.s)
  call('ZREM', z, it.sid)
  if it.u then call('ZREM', it.u, it.sid) end
  ended[#ended + 1] = finish(it.sid, it.score, it.head, IDLE)
end
for uid, u in pairs(users) do sync(u, z, a, uid) end
-- Users of sessions whose record could not be read.
for role = 0, 3 do call('ZREMRANGEBYSCORE', a, score_of(role, 0), score_of(role, now)) end
count(n)
return { #due, ended }
