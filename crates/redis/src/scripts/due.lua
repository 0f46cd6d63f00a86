-- KEYS z | ARGV now limit | up to `limit` expired sessions
local due = {}
for role = 0, 3 do
  local left = ARGV[2] - #due
  if left <= 0 then break end
  local of_role = call('ZRANGEBYSCORE', KEYS[1], score_of(role, 0), score_of(role, now), 'LIMIT', 0, left)
  for _, sid in ipairs(of_role) do due[#due + 1] = sid end
end
return due
