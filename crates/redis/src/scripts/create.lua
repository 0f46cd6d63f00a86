-- Starts a session. The user's other sessions take over its role; beyond `max` the oldest are ended. The role of a
-- newer account version stays in force.
-- KEYS s u z a n r, then the records of the user's other sessions
-- ARGV now sid uid role idle lifetime max payload version, then the sessions of those records
-- {1, now, exp, ends, [end …], role} started; {0} the ID is taken; {2, [sid …]} call again with these declared too
local s, u, z, a, n, r = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local sid, uid, role = ARGV[2], ARGV[3], tonumber(ARGV[4])
local idle, lifetime, max = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
if call('EXISTS', s) == 1 or call('ZSCORE', z, sid) then return { 0 } end

local newest, newer_role = in_force(r, uid)
if newest and newest > tonumber(ARGV[9]) then role = newer_role end

local key, live = declared(7, 10), {}
local members = call('ZRANGE', u, 0, -1)
local score = scores(z, members)
for i, it in ipairs(members) do
  if score[i] and expiry(score[i]) > now then live[#live + 1] = { sid = it, score = score[i] } end
end
-- The new session is always kept.
local surplus = #live - (math.max(max, 1) - 1)
local needed = {}
for i, it in ipairs(live) do
  if i <= surplus or role_of(it.score) ~= role then
    if key[it.sid] then it.head = head(key[it.sid]) else needed[#needed + 1] = it.sid end
  end
end
if #needed > 0 then return { 2, needed } end

-- The payload begins with {"k": and the role of the key, which is the role of the session.
local payload = ARGV[8]:sub(1, 5) .. role .. ARGV[8]:sub(7)
-- All reads are done. Redis rejects the first write when its memory is full, so it rejects all of them.
local seq = call('HINCRBY', n, 'seq', 1)
local ends = math.min(now + lifetime, B - 1)
local exp = math.min(now + idle, ends)
local keep = ends - now + GRACE
call('SET', s, T(exp) .. T(now) .. T(ends) .. T(now) .. T(idle) .. T(seq) .. role .. uid .. '\n' .. payload,
  'PX', S(exp - now + GRACE))
call('ZADD', u, seq, sid)
if call('PTTL', u) < keep then call('PEXPIRE', u, S(keep)) end
call('ZADD', z, score_of(role, exp), sid)
add('s' .. role)
see('+', seq)

call('ZADD', r, -1, '')
local evicted, top = {}, exp
for i, it in ipairs(live) do
  local from, at = role_of(it.score), expiry(it.score)
  if from ~= role then
    add('e' .. from .. ROLE_CHANGED)
    add('s' .. role)
    it.score = role * B + at
  end
  if i <= surplus then
    call('DEL', key[it.sid])
    call('ZREM', u, it.sid)
    call('ZREM', z, it.sid)
    evicted[#evicted + 1] = finish(it.sid, it.score, it.head, EVICTED)
  else
    if from ~= role then
      if it.head then take_role(key[it.sid], it.head, role) end
      call('ZADD', z, S(it.score), it.sid)
    end
    top = math.max(top, at)
  end
end
call('ZADD', a, score_of(role, top), uid)
count(n)
return { 1, now, exp, ends, evicted, role }
