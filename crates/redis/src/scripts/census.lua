-- KEYS z a n | ARGV now | by role: live sessions, live users, expired sessions (4 each); then the totals
local B, out = 4398046511104, {}
for role = 0, 3 do
  local first, today, last = S(role * B), S(role * B + now), S((role + 1) * B)
  out[1 + role] = call('ZCOUNT', KEYS[1], '(' .. today, '(' .. last)
  out[5 + role] = call('ZCOUNT', KEYS[2], '(' .. today, '(' .. last)
  out[9 + role] = call('ZCOUNT', KEYS[1], first, today)
end
out[13] = call('HGETALL', KEYS[3])
return out
