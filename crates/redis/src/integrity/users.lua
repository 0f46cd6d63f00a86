-- Compares the index entries of some users with their sessions; rebuilds an entry if it differs and `repair` is 1.
-- KEYS z a, then the sessions of each user
-- ARGV now repair, then for each user: uid, the number of its sessions by their records, and for each of these: sid,
-- its sequence number, its absolute expiry, and its score by the record, or nothing where the index has that score
-- Returns the positions (from 1) of the users whose entries differ.
local z, a = KEYS[1], KEYS[2]
local repair, at, differing = ARGV[2] == '1', 3, {}

local function later(top, score)
  if expiry(score) > now and expiry(score) > expiry(top) then return score end
  return top
end

for i = 3, #KEYS do
  local u, uid, size = KEYS[i], ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  local members = read('ZRANGE', u, 0, -1)
  local differs, has, told, missing, top, keep = not members, {}, {}, {}, 0, 0
  for _, sid in ipairs(members or {}) do has[sid] = true end
  for _ = 1, size do
    local sid, score = ARGV[at], tonumber(ARGV[at + 3])
    told[sid] = score
    if not has[sid] then
      score = score or tonumber(call('ZSCORE', z, sid))
      if score then
        missing[#missing + 1] = { ARGV[at + 1], sid }
        top, keep = later(top, score), math.max(keep, ARGV[at + 2] - now + GRACE)
      end
    end
    at = at + 4
  end
  local score = scores(z, members or {})
  for j, sid in ipairs(members or {}) do
    local it = told[sid] or score[j]
    if it then top = later(top, it) else differs = true end
  end
  local have = tonumber(call('ZSCORE', a, uid))
  if top > 0 then
    differs = differs or have ~= top
  else
    differs = differs or have ~= nil and expiry(have) > now
  end
  if differs or #missing > 0 then
    differing[#differing + 1] = i - 2
    if repair then
      if not members then call('DEL', u) end
      for _, it in ipairs(missing) do call('ZADD', u, it[1], it[2]) end
      if #missing > 0 and call('PTTL', u) < keep then call('PEXPIRE', u, S(keep)) end
      follow(a, { without({}, u, z, uid) }, {})
    end
  end
end
return differing
