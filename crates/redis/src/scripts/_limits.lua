-- Login-throttling budgets: the arithmetic of `guard::limiter`, repeated here to charge several budgets in one step.
-- A state is `spent as_of locked_until locks`, followed by ` window held held_before` if attempts are in flight; times
-- in ms.

-- Keys outlive their state by this time; `due` records when they may be removed.
local GRACE = 3600000
-- Holds are counted in windows of this length.
local WINDOW = 15000
local window = math.floor(now / WINDOW)

-- The budget of the i-th entity: attempts, refill, lock, longest lock, forget, and whether it belongs to one person.
local function budget(i)
  local from = 3 + (i - 1) * 7
  return {
    attempts = tonumber(ARGV[from]), refill = tonumber(ARGV[from + 1]), lock = tonumber(ARGV[from + 2]),
    longest = tonumber(ARGV[from + 3]), forget = tonumber(ARGV[from + 4]), is_person = ARGV[from + 5] == '1',
  }
end

local function name(i) return ARGV[2 + (i - 1) * 7] end

-- The state under a key; nil if there is none. A malformed state counts as none.
local function find(key)
  local text = redis.pcall('GET', key)
  if type(text) ~= 'string' then return nil end
  local spent, as_of, locked_until, locks, rest = text:match('^(%d+) (%d+) (%d+) (%d+)(.*)$')
  if not locks then return nil end
  local since, held, before = 0, 0, 0
  if rest ~= '' then
    since, held, before = rest:match('^ (%d+) (%d+) (%d+)$')
    if not before then return nil end
  end
  return {
    spent = tonumber(spent), as_of = tonumber(as_of), locked_until = tonumber(locked_until), locks = tonumber(locks),
    window = tonumber(since), held = tonumber(held), before = tonumber(before), text = text,
  }
end

local function failures_expire_at(it, b)
  if it.locks > 0 or it.locked_until > 0 then return math.max(it.as_of, it.locked_until) + b.forget end
  return it.as_of + math.min(b.refill * it.spent, b.forget)
end

local function expires_at(it, b)
  local at = failures_expire_at(it, b)
  if it.held + it.before == 0 then return at end
  -- Holds that are not settled become failures, and may cause a lock.
  local last = it.window + (it.held > 0 and 2 or 1)
  return math.max(at, last * WINDOW + b.longest + b.forget)
end

local function text_of(it)
  local text = S(it.spent) .. ' ' .. S(it.as_of) .. ' ' .. S(it.locked_until) .. ' ' .. S(it.locks)
  if it.held + it.before == 0 then return text end
  return text .. ' ' .. S(it.window) .. ' ' .. S(it.held) .. ' ' .. S(it.before)
end

local function is_empty(it)
  return it.spent == 0 and it.locks == 0 and it.locked_until == 0 and it.held + it.before == 0
end

-- Stores a state; one that is equivalent to none is removed.
local function save(key, due, called, it, b)
  if is_empty(it) then
    call('DEL', key)
    call('ZREM', due, called)
    return
  end
  local text = text_of(it)
  if text == it.text then return end
  call('SET', key, text, 'PX', S(math.max(expires_at(it, b) - now, 0) + GRACE))
  call('ZADD', due, S(expires_at(it, b)), called)
end

local function clear(it)
  it.spent, it.as_of, it.locked_until, it.locks = 0, now, 0, 0
end

-- Counts failures, and locks when they reach the budget's number of attempts.
local function fail(it, failures, b)
  if it.spent == 0 then it.as_of = now end
  it.spent = it.spent + failures
  if it.spent >= b.attempts and it.locked_until <= now then
    it.locked_until = now + math.min(b.lock * 2 ^ math.min(it.locks, 20), b.longest)
    it.locks = it.locks + 1
  end
end

-- Moves to the current window. Returns how many holds are too old.
local function turn(it)
  local lapsed, passed = 0, window - it.window
  if passed < 0 then
    -- The clock was set back: existing holds count from now on.
    it.held, it.before = it.held + it.before, 0
  elseif passed == 1 then
    lapsed, it.held, it.before = it.before, 0, it.held
  elseif passed > 1 then
    lapsed, it.held, it.before = it.held + it.before, 0, 0
  end
  it.window = window
  return lapsed
end

-- The state brought up to now: reset after a lock, reduced by the refill, removed after `forget`; holds that are too
-- old become failures. A time further ahead than any that could have been set comes from a clock that was wrong.
local function current(it, b)
  it.as_of = math.min(it.as_of, now)
  it.locked_until = math.min(it.locked_until, now + b.longest)
  if failures_expire_at(it, b) <= now then clear(it) end
  if it.locked_until <= now then
    if it.locked_until > 0 then
      it.spent, it.as_of, it.locked_until = 0, it.locked_until, 0
    end
    local steps = math.floor(math.max(now - it.as_of, 0) / b.refill)
    it.spent = math.max(it.spent - steps, 0)
    it.as_of = it.as_of + steps * b.refill
  end
  local lapsed = turn(it)
  if lapsed > 0 then fail(it, lapsed, b) end
  return it
end
