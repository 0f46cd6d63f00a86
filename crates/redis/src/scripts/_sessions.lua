-- Sessions. A score in z is role * B + expiry in ms, and decides which sessions are live.
-- A record begins with exp(13) seen(13) ends(13) born(13) idle(13) seq(13) role(1) uid(22) and a newline, followed by
-- {"k": and the role of its key, except in records from before that field existed.
local B = 4398046511104
-- Keys outlive their sessions by this time, in case no process ends them.
local GRACE = 3600000
local CORRUPT = -1
local IDLE, ABSOLUTE, EVICTED, ROLE_CHANGED = 1, 2, 4, 5
-- The offsets (from 0) of the role and of the key's role in a record.
local ROLE_AT, KEY_ROLE_AT = 78, 107

local function expiry(score) return score % B end
local function role_of(score) return math.floor(score / B) end
local function score_of(role, exp) return S(role * B + exp) end
local function T(n) return string.format('%013.0f', n) end

-- The response of a read command; false if the key holds another type.
local function read(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    if answer.err:find('WRONGTYPE', 1, true) then return false end
    error(answer)
  end
  return answer
end

-- The fields of a record's first line; false if it is malformed.
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

-- The first line of the record under a key; nil if there is none, false if it cannot be read.
local function head(key)
  local text = read('GETRANGE', key, 0, KEY_ROLE_AT)
  if text == '' and call('EXISTS', key) == 0 then return nil end
  return text and parse(text)
end

-- The account version that the session of a record was started under; 0 if the record has none.
local function version_under(key)
  local text = read('GETRANGE', key, 102, 130)
  return tonumber(text and text:match('^{"k":%d,"v":(%d+)[,}]')) or 0
end

-- The whole record under a key, and its first line; nil and false as for head.
local function record(key)
  local answer = redis.pcall('GET', key)
  if answer == false then return nil end
  if type(answer) == 'table' then
    if answer.err:find('WRONGTYPE', 1, true) then return false end
    error(answer)
  end
  return parse(answer), answer
end

-- Roles in force. A score in r is four times the version of the account (a time in ms), plus the role. An empty member
-- keeps the key: a script waits while its slot is being moved if one of its keys is missing.
local V = 4
local KEPT = 3600000

-- The newest account version that has recently set the role of its sessions, and that role; nil if there is none.
local function in_force(r, uid)
  local score = read('ZSCORE', r, uid)
  if not score then return nil end
  return math.floor(score / V), score % V
end

-- Versions older than one hour are removed: no write is that late.
local function put_in_force(r, uid, version, role)
  call('ZREMRANGEBYSCORE', r, 0, S((now - KEPT) * V))
  call('ZADD', r, -1, '', S(version * V + role), uid)
end

-- Changes the role of a record. The role of its key follows only when it decreases.
local function take_role(key, it, role)
  call('SETRANGE', key, ROLE_AT, role)
  if it.key and role < it.key then call('SETRANGE', key, KEY_ROLE_AT, role) end
end

-- The scores of these members, false for those that do not exist.
local function scores(z, members)
  local found = {}
  for from = 1, #members, 1000 do
    local part = call('ZMSCORE', z, unpack(members, from, math.min(from + 999, #members)))
    for i = 1, #part do found[from + i - 1] = part[i] and tonumber(part[i]) end
  end
  return found
end

-- The records that the caller declared, by session: their keys from `key` on and their IDs from `arg` on.
local function declared(key, arg)
  local keys = {}
  for i = arg, #ARGV do keys[ARGV[i]] = KEYS[key + i - arg] end
  return keys
end

-- Changes to add to the totals; `count` writes them in one step.
local tally = {}
local function add(field) tally[field] = (tally[field] or 0) + 1 end
-- The sessions that were added (+) and removed (-), if there are few: each by its sequence number, which it keeps when
-- it gets a new ID. A session whose record cannot be read has none.
local seen = {}
local SEEN = 2
local function see(sign, seq) seen[#seen + 1] = sign .. (seq and S(seq) or '?') end
-- The last such changes are kept with the totals, each with the server's time in microseconds. They show which changes
-- a server lost when it was restored to an earlier state. The time of the first one identifies the history.
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

-- Counts the end of a session that had this score in the index, and returns it. A session without a readable record is
-- counted as ended and as lost: its user is unknown.
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

-- Removal from an index. In a slot that is being moved, an emptied key counts as a key of the other server: a script
-- that touches it again is aborted there, half done. So all reads come first, and the command that may empty a key is
-- its last one.

-- Removes existing members from a sorted set.
local function drop(key, members)
  for from = 1, #members, 1000 do
    call('ZREM', key, unpack(members, from, math.min(from + 999, #members)))
  end
end

-- The remaining sessions of a user without those in `gone` and without those that the index does not have.
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

-- Updates the user index according to these plans; `gone` are further users that leave it.
local function follow(a, plans, gone)
  for _, plan in ipairs(plans) do
    drop(plan.u, plan.stale)
    if plan.top > 0 then call('ZADD', a, S(plan.top), plan.uid) else gone[#gone + 1] = plan.uid end
  end
  drop(a, gone)
end
