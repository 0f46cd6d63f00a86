-- KEYS s | ARGV now | the record of a live session; nil if there is none; -1 if the key holds another type
local answer = redis.pcall('GET', KEYS[1])
if type(answer) == 'table' then
  if answer.err:find('WRONGTYPE', 1, true) then return -1 end
  return answer
end
local exp = answer and answer:match('^%d%d%d%d%d%d%d%d%d%d%d%d%d')
if exp and tonumber(exp) <= now then return false end
return answer
