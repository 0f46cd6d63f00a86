-- Ends the hold on each budget and counts the outcome of the attempt. An attempt without holds may still be on its way:
-- the script records that it was settled. A hold that was not settled in time has become a failure: if it should not
-- have, the failure is taken back, together with a lock that it caused.
-- KEYS due, then the states, then the attempt | ARGV now, then the name and the budget of each state, then how long the
-- attempt is kept, and right, wrong or unchecked
local due, attempt = KEYS[1], KEYS[#KEYS]
local outcome = ARGV[#ARGV]
local taken_in = tonumber(call('GET', attempt) or '')
if not taken_in then
  call('SET', attempt, 'settled', 'PX', ARGV[#ARGV - 1])
  return 0
end

local function release(it)
  local field
  if taken_in >= it.window then
    field = 'held'
  elseif taken_in + 1 == it.window then
    field = 'before'
  else
    return false
  end
  local was_held = it[field] > 0
  it[field] = math.max(it[field] - 1, 0)
  return was_held
end

local function settle(it, b)
  local in_time = release(it)
  if outcome == 'right' and b.is_person then
    clear(it)
  elseif outcome == 'wrong' then
    if in_time then fail(it, 1, b) end
  elseif not in_time then
    local locked_by_last = it.locked_until > now and it.spent >= b.attempts
    it.spent = math.max(it.spent - 1, 0)
    if locked_by_last and it.spent < b.attempts then
      it.locked_until, it.locks = 0, math.max(it.locks - 1, 0)
    end
  end
end

-- This comes first: it frees memory, and a full server accepts the writes that follow it.
call('DEL', attempt)
for i = 1, #KEYS - 2 do
  local it = find(KEYS[i + 1])
  if it then
    local b = budget(i)
    settle(current(it, b), b)
    save(KEYS[i + 1], due, name(i), it, b)
  end
end
return 1
