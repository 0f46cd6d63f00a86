-- Removes those of these states that are equivalent to none.
-- KEYS due, then the states | ARGV now, then their names | number of removed states
local forgotten = 0
for i = 2, #KEYS do
  local at = call('ZSCORE', KEYS[1], ARGV[i])
  if at and tonumber(at) <= now then
    call('DEL', KEYS[i])
    call('ZREM', KEYS[1], ARGV[i])
    forgotten = forgotten + 1
  end
end
return forgotten
