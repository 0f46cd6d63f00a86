-- Returns what a shard's index holds and how far its totals differ from it; corrects the totals if `repair` is 1.
-- KEYS z a n | ARGV now repair
-- {gap, live sessions, live users, expired sessions (by role each), the totals}
local z, a, n = KEYS[1], KEYS[2], KEYS[3]
local live, users, expired, gap = {}, {}, {}, gaps(z, n)
for role = 0, 3 do
  local first, today, last = score_of(role, 0), score_of(role, now), '(' .. score_of(role + 1, 0)
  live[role + 1] = call('ZCOUNT', z, '(' .. today, last)
  users[role + 1] = call('ZCOUNT', a, '(' .. today, last)
  expired[role + 1] = call('ZCOUNT', z, first, today)
end
local totals = call('HGETALL', n)
if ARGV[2] == '1' then settle(n, gap) end
return { { gap[0], gap[1], gap[2], gap[3] }, live, users, expired, totals }
