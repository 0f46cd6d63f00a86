-- Reads the index entries and the records of these sessions in one step.
-- KEYS z, then the records | ARGV now, then the sessions
-- {now, then the score and the record of each}: nil where there is none, -1 where a key holds another type
local answer, score = { now }, {}
for i = 2, #ARGV do score[i] = call('ZSCORE', KEYS[1], ARGV[i]) end
for i = 2, #KEYS do
  local it, text = record(KEYS[i])
  answer[#answer + 1] = score[i]
  if it == nil then answer[#answer + 1] = false else answer[#answer + 1] = text or CORRUPT end
end
return answer
