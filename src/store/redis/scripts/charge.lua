-- Charges one attempt to the address and then, only if that has budget left, to the account.
-- KEYS address account due | ARGV now, their names, their budgets
-- {0, 0} both were charged; {1, wait} the address is out; {2, wait} the account is locked; waits in ms
local due = KEYS[3]

-- Charges one; returns how long it has to wait, 0 if it was charged.
local function charge(key, name, b)
  local it = current(find(key) or { spent = 0, as_of = 0, locked_until = 0, locks = 0 }, b)
  if it.locked_until > now then return it.locked_until - now end
  if it.spent == 0 then it.as_of = now end
  it.spent = it.spent + 1
  if it.spent >= b.attempts then
    it.locked_until = now + math.min(b.lock * 2 ^ math.min(it.locks, 20), b.longest)
    it.locks = it.locks + 1
  end
  save(key, due, name, it, b)
  return 0
end

local wait = charge(KEYS[1], ARGV[2], budget(4))
if wait > 0 then return { 1, wait } end
wait = charge(KEYS[2], ARGV[3], budget(9))
if wait > 0 then return { 2, wait } end
return { 0, 0 }
