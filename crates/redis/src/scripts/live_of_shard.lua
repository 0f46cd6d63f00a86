-- KEYS z | ARGV now, then roles | the live sessions of each of these roles, one list per role
local live = {}
for i = 2, #ARGV do
  local role = tonumber(ARGV[i])
  live[i - 1] = call('ZRANGEBYSCORE', KEYS[1], '(' .. score_of(role, now), '(' .. score_of(role + 1, 0))
end
return live
