-- Gives back one charge to the address, and to the account one or, with `whole`, all and the memory of locks too.
-- KEYS address account due | ARGV now, their names, their budgets, whole
local due = KEYS[3]

local function forget(key, name)
  call('DEL', key)
  call('ZREM', due, name)
end

local function refund(key, name, b)
  local it = find(key)
  if not it then return end
  it = current(it, b)
  -- A lock that the charge brought about goes with it.
  local locked_by_last = it.locked_until > now and it.spent >= b.attempts
  it.spent = math.max(it.spent - 1, 0)
  if locked_by_last and it.spent < b.attempts then
    it.locked_until, it.locks = 0, math.max(it.locks - 1, 0)
  end
  save(key, due, name, it, b)
end

-- The whole one first: it frees memory, and what follows it is let through by a full server.
if ARGV[14] == '1' then forget(KEYS[2], ARGV[3]) else refund(KEYS[2], ARGV[3], budget(9)) end
refund(KEYS[1], ARGV[2], budget(4))
return 1
