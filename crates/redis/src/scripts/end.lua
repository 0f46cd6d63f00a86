-- Ends one session.
-- KEYS s u z a n | ARGV now sid uid reason | [its end]; [] if there was none; -1 if the record cannot be read
local s, u, z, a, n = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local sid, uid, reason = ARGV[2], ARGV[3], tonumber(ARGV[4])
local it = head(s)
if it == nil then return {} end
if not it or it.uid ~= uid then return CORRUPT end
local score = tonumber(call('ZSCORE', z, sid) or it.role * B + it.exp)
local plan = without({ [sid] = true }, u, z, uid)
call('DEL', s)
call('ZREM', z, sid)
local ended = finish(sid, score, it, reason)
follow(a, { plan }, {})
count(n)
return { ended }
