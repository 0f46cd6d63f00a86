-- Sessions. A score in z is role * B + expiry in ms, and tells who is live.
-- A record begins exp(13) seen(13) ends(13) born(13) idle(13) seq(13) role(1) uid(22) and a new line, and then, unless it is from
-- before that was written down, {"k": and the role of its key.
local B = 4398046511104
-- Keys outlive their sessions by this, in case nobody ends them.
local GRACE = 3600000
local CORRUPT = -1
local IDLE, ABSOLUTE, EVICTED, ROLE_CHANGED = 1, 2, 4, 5
-- Where the role stands in a record, from 0, and that of its key.
local ROLE_AT, KEY_ROLE_AT = 78, 107

local function expiry(score) return score % B end
local function role_of(score) return math.floor(score / B) end
local function score_of(role, exp) return S(role * B + exp) end
local function T(n) return string.format('%013.0f', n) end

-- The answer of a reading command; false where the key holds something else.
local function read(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    if answer.err:find('WRONGTYPE', 1, true) then return false end
    error(answer)
  end
  return answer
end

-- What the head of a record says; false if this is none.
local function parse(text)
  local head = text:sub(1, 102)
  if not head:sub(1, 78):find('^%d+$') or not head:find('^[0-3][%w_-]+[AQgw]\n$', 79) or #head ~= 102 then
    return false
  end
  return {
    exp = tonumber(head:sub(1, 13)), seen = tonumber(head:sub(14, 26)), ends = tonumber(head:sub(27, 39)),
    born = tonumber(head:sub(40, 52)), idle = tonumber(head:sub(53, 65)), seq = tonumber(head:sub(66, 78)),
    role = tonumber(head:sub(79, 79)), uid = head:sub(80, 101),
    key = tonumber(text:sub(103, 108):match('^{"k":([0-3])$')),
  }
end

-- The head of the record under a key; nil if there is none, false if it cannot be read.
local function head(key)
  local text = read('GETRANGE', key, 0, KEY_ROLE_AT)
  if text == '' and call('EXISTS', key) == 0 then return nil end
  return text and parse(text)
end

-- The version of the account that the session of a record was started under; 0 where it does not say.
local function version_under(key)
  local text = read('GETRANGE', key, 102, 130)
  return tonumber(text and text:match('^{"k":%d,"v":(%d+)[,}]')) or 0
end

-- The whole record under a key, and what its head says; nil and false as of head.
local function record(key)
  local answer = redis.pcall('GET', key)
  if answer == false then return nil end
  if type(answer) == 'table' then
    if answer.err:find('WRONGTYPE', 1, true) then return false end
    error(answer)
  end
  return parse(answer), answer
end

-- Roles in force. A score in r is the version of the account, which is a time in ms, times four, and the role. An empty member
-- keeps the key: a script that finds one of its keys missing waits while its slot is being moved.
local V = 4
local KEPT = 3600000

-- The newest version of an account that has set the role of its sessions lately, and that role; nil if none has.
local function in_force(r, uid)
  local score = read('ZSCORE', r, uid)
  if not score then return nil end
  return math.floor(score / V), score % V
end

-- Versions of more than an hour ago are forgotten: no write is so late.
local function put_in_force(r, uid, version, role)
  call('ZREMRANGEBYSCORE', r, 0, S((now - KEPT) * V))
  call('ZADD', r, -1, '', S(version * V + role), uid)
end

-- Gives a record another role. That of its key follows downwards only.
local function take_role(key, it, role)
  call('SETRANGE', key, ROLE_AT, role)
  if it.key and role < it.key then call('SETRANGE', key, KEY_ROLE_AT, role) end
end

-- The scores of these members, false for those that are none.
local function scores(z, members)
  local found = {}
  for from = 1, #members, 1000 do
    local part = call('ZMSCORE', z, unpack(members, from, math.min(from + 999, #members)))
    for i = 1, #part do found[from + i - 1] = part[i] and tonumber(part[i]) end
  end
  return found
end

-- The records that the caller declared: by session, their keys from `key` on and their names from `arg` on.
local function declared(key, arg)
  local keys = {}
  for i = arg, #ARGV do keys[ARGV[i]] = KEYS[key + i - arg] end
  return keys
end

-- What is to be added to the totals; written at once by count.
local tally = {}
local function add(field) tally[field] = (tally[field] or 0) + 1 end
-- The sessions that came (+) and went (-), where they are few: each by its place in the order of starts, which it keeps under
-- another name. One that cannot be read has none.
local seen = {}
local SEEN = 2
local function see(sign, seq) seen[#seen + 1] = sign .. (seq and S(seq) or '?') end
-- With the totals the last such steps are kept, each with the server's time in microseconds. They tell what a server has forgotten
-- that was put back to an earlier state. The time of the first one is the name of the history.
local RECENT = 10
local function count(n)
  local step = {}
  for field, by in pairs(tally) do
    call('HINCRBY', n, field, by)
    step[#step + 1] = field .. '=' .. S(by)
  end
  if #step == 0 then return end
  local t, nth = call('TIME'), call('HINCRBY', n, 'changes', 1)
  local at = string.format('%s%06d', t[1], t[2])
  if nth == 1 then call('HSET', n, 'origin', at) end
  if #seen <= SEEN then
    for _, it in ipairs(seen) do step[#step + 1] = it end
  end
  call('HSET', n, 'c' .. nth % RECENT, at .. ' ' .. table.concat(step, ' '))
end

-- Counts the end of a session that the index had under this score, and tells of it. One without a readable record is
-- counted and lost: there is nobody to tell of.
local function finish(sid, score, it, reason)
  local at = now
  if expiry(score) <= now then
    at = expiry(score)
    reason = it and at >= it.ends and ABSOLUTE or IDLE
  end
  add('e' .. role_of(score) .. reason)
  see('-', it and it.seq)
  if not it then
    add('lost')
    return nil
  end
  return { sid, role_of(score), reason, math.max(at - it.born, 0) }
end

-- Leaving an index. In a slot that is being moved, a key that was emptied counts as one of the other server: a script that
-- touches it again is broken off there, half done. So all is read first, and what may empty a key is its last command.

-- Takes members that are there out of a sorted set.
local function drop(key, members)
  for from = 1, #members, 1000 do
    call('ZREM', key, unpack(members, from, math.min(from + 999, #members)))
  end
end

-- What the sessions of a user will be without those in `gone`, and without such as the index does not have.
local function without(gone, u, z, uid)
  local members, plan = call('ZRANGE', u, 0, -1), { u = u, uid = uid, stale = {}, top = 0 }
  local score = scores(z, members)
  for i, sid in ipairs(members) do
    if gone[sid] or not score[i] then
      plan.stale[#plan.stale + 1] = sid
    elseif expiry(score[i]) > now and expiry(score[i]) > expiry(plan.top) then
      plan.top = score[i]
    end
  end
  return plan
end

-- Makes the index of users what these plans say; `gone` are others that leave it.
local function follow(a, plans, gone)
  for _, plan in ipairs(plans) do
    drop(plan.u, plan.stale)
    if plan.top > 0 then call('ZADD', a, S(plan.top), plan.uid) else gone[#gone + 1] = plan.uid end
  end
  drop(a, gone)
end
