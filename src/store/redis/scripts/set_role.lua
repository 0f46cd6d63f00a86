-- Gives all live sessions of a user a role.
-- KEYS u z a n, then the records of the sessions
-- ARGV now uid role, then the sessions of those records
-- {1, moved} done; {2, [sid …]} call again with these declared too
local u, z, a, n = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local uid, role = ARGV[2], tonumber(ARGV[3])
local key, moved, needed = declared(5, 4), {}, {}
local members = call('ZRANGE', u, 0, -1)
local score = scores(z, members)
for i, sid in ipairs(members) do
  local at = score[i]
  if at and expiry(at) > now and role_of(at) ~= role then
    if key[sid] then
      moved[#moved + 1] = { sid = sid, score = at, head = head(key[sid]) }
    else
      needed[#needed + 1] = sid
    end
  end
end
if #needed > 0 then return { 2, needed } end
if #moved == 0 then return { 1, 0 } end
local plan = without({}, u, z, uid)
plan.top = role * B + expiry(plan.top)
-- First what a full memory lets through, if it changes nothing: the rest, which takes no memory, follows it. A demotion must
-- not wait for room.
call('ZREM', a, '')
for _, it in ipairs(moved) do
  if it.head then take_role(key[it.sid], it.head, role) end
  call('ZADD', z, score_of(role, expiry(it.score)), it.sid)
  add('e' .. role_of(it.score) .. ROLE_CHANGED)
  add('s' .. role)
end
follow(a, { plan }, {})
count(n)
return { 1, #moved }
