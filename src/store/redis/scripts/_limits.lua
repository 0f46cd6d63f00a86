-- Budgets of guesses: `guard::limiter` once more, where two of them must be charged in one step.
-- A state is `spent as_of locked_until locks`, times in ms.

-- Keys outlive what they say by this; `due` tells when they may be forgotten.
local GRACE = 3600000

-- A budget from five arguments: attempts, regain, lock, longest lock, forget.
local function budget(from)
  return {
    attempts = tonumber(ARGV[from]), regain = tonumber(ARGV[from + 1]), lock = tonumber(ARGV[from + 2]),
    longest = tonumber(ARGV[from + 3]), forget = tonumber(ARGV[from + 4]),
  }
end

-- The state under a key; nil if there is none. What is no state counts as none.
local function find(key)
  local text = redis.pcall('GET', key)
  if type(text) ~= 'string' then return nil end
  local spent, as_of, locked_until, locks = text:match('^(%d+) (%d+) (%d+) (%d+)$')
  if not locks then return nil end
  return {
    spent = tonumber(spent), as_of = tonumber(as_of),
    locked_until = tonumber(locked_until), locks = tonumber(locks),
  }
end

local function expires_at(it, b) return math.max(it.as_of, it.locked_until) + b.forget end

local function save(key, due, name, it, b)
  local text = S(it.spent) .. ' ' .. S(it.as_of) .. ' ' .. S(it.locked_until) .. ' ' .. S(it.locks)
  call('SET', key, text, 'PX', S(math.max(expires_at(it, b) - now, 0) + GRACE))
  call('ZADD', due, S(expires_at(it, b)), name)
end

-- The state brought up to now: afresh after a lock, less what was regained, nothing after `forget`.
local function current(it, b)
  if expires_at(it, b) <= now then return { spent = 0, as_of = now, locked_until = 0, locks = 0 } end
  if it.locked_until > now then return it end
  if it.locked_until > 0 then
    it.spent, it.as_of, it.locked_until = 0, it.locked_until, 0
  end
  local steps = math.floor(math.max(now - it.as_of, 0) / b.regain)
  it.spent = math.max(it.spent - steps, 0)
  it.as_of = it.as_of + steps * b.regain
  return it
end
