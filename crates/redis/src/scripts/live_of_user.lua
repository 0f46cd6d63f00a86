-- KEYS u z | ARGV now | the live sessions of a user, oldest first
local members, live = call('ZRANGE', KEYS[1], 0, -1), {}
for i, score in ipairs(scores(KEYS[2], members)) do
  if score and expiry(score) > now then live[#live + 1] = members[i] end
end
return live
