-- ARGV number of keys, the keys, then commands without their key
-- Returns the position of the first command that our user may not run on one of the keys; -1 if the user may run EVAL,
-- which this is, but not on these keys; 0 if everything is permitted. Nothing is executed.
-- An error reply means a command that the server does not have, or not under this name.
local may = redis.acl_check_cmd
local size = tonumber(ARGV[1])
for k = 2, size + 1 do
  if not may('EVAL', 'return 1', '1', ARGV[k]) then return -1 end
end
for i = size + 2, #ARGV do
  local words = {}
  for word in ARGV[i]:gmatch('%S+') do words[#words + 1] = word end
  for k = 2, size + 1 do
    local is_known, is_permitted = pcall(may, words[1], ARGV[k], unpack(words, 2))
    if not (is_known and is_permitted) then return i - size - 1 end
  end
end
return 0
