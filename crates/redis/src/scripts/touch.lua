-- Moves the idle expiry to `idle` from now, if that moves it by at least `step` or to the session's absolute expiry.
-- KEYS s z a | ARGV now sid idle step | the record afterwards; nil if the session is not live; -1 if it cannot be read
local s, z, a, sid = KEYS[1], KEYS[2], KEYS[3], ARGV[2]
local it, text = record(s)
if it == nil then return false end
if not it then return CORRUPT end
if it.exp <= now then return false end
local exp = math.min(now + ARGV[3], it.ends)
-- Never moves backwards and never writes without a change. The last move is shorter than a step, and shows which of its
-- two expiries ends the session.
if exp <= it.exp or (exp - it.exp < tonumber(ARGV[4]) and exp < it.ends) then return text end
-- First a write that Redis accepts when its memory is full: the remaining writes, which need no memory, are then
-- accepted too.
call('PEXPIRE', s, S(exp - now + GRACE))
call('SETRANGE', s, 0, T(exp) .. T(now))
local score = call('ZSCORE', z, sid)
if score then
  score = score_of(role_of(tonumber(score)), exp)
  call('ZADD', z, score, sid)
  -- All live sessions of a user have the same role, so the greater score is the later expiry.
  call('ZADD', a, 'GT', score, it.uid)
end
return T(exp) .. T(now) .. text:sub(27)
