-- Holds a place for one attempt in each budget, or in none.
-- KEYS due, then the states, then the attempt | ARGV now, then the name and the budget of each state, then how long the
-- attempt is kept
-- {0, 0, 0} a place is held in each; {1, i, 0} the places of the i-th, from 0, are all in flight, or the attempt was
-- settled before; {2, i, wait} the i-th is locked, for a wait in ms, and those before it count a failure
local due, attempt = KEYS[1], KEYS[#KEYS]
if call('EXISTS', attempt) == 1 then return { 1, 0, 0 } end
local states, budgets = {}, {}
for i = 1, #KEYS - 2 do
  local b = budget(i)
  local it = current(find(KEYS[i + 1]) or { spent = 0, as_of = 0, locked_until = 0, locks = 0, window = 0, held = 0, before = 0 }, b)
  if it.locked_until > now then
    for j = 1, i - 1 do
      fail(states[j], 1, budgets[j])
      save(KEYS[j + 1], due, name(j), states[j], budgets[j])
    end
    save(KEYS[i + 1], due, name(i), it, b)
    return { 2, i - 1, it.locked_until - now }
  end
  if it.spent + it.held + it.before >= b.attempts then return { 1, i - 1, 0 } end
  states[i], budgets[i] = it, b
end
for i, it in ipairs(states) do
  it.held = it.held + 1
  save(KEYS[i + 1], due, name(i), it, budgets[i])
end
call('SET', attempt, S(window), 'PX', ARGV[#ARGV])
return { 0, 0, 0 }
