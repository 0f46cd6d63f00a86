-- KEYS z | ARGV now idle | the sessions that expire later than `idle` from now
local far = {}
for role = 0, 3 do
  local later = '(' .. score_of(role, now + ARGV[2])
  local of_role = call('ZRANGEBYSCORE', KEYS[1], later, '(' .. score_of(role + 1, 0))
  for _, sid in ipairs(of_role) do far[#far + 1] = sid end
end
return far
