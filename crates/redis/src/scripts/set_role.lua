-- Gives all live sessions of a user the role of an account version, unless a version newer than `replaces` has already
-- set their role.
-- KEYS u z a n r, then the records of the sessions
-- ARGV now uid role version replaces, then the sessions of those records
-- {1, moved, 0} done; {1, 0, version} that newer version; {2, [sid …]} call again with these declared too
local u, z, a, n, r = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local uid, role = ARGV[2], tonumber(ARGV[3])
local newest = in_force(r, uid)
if newest and newest > tonumber(ARGV[5]) then return { 1, 0, newest } end
local key, moved, needed = declared(6, 6), {}, {}
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
local plan = #moved > 0 and without({}, u, z, uid)
-- First a write that Redis accepts when its memory is full, and that changes nothing: the remaining writes, which need
-- no memory, are then accepted too. A demotion must not wait for free memory.
call('ZREM', r, '-')
put_in_force(r, uid, tonumber(ARGV[4]), role)
if not plan then return { 1, 0, 0 } end
plan.top = role * B + expiry(plan.top)
for _, it in ipairs(moved) do
  if it.head then take_role(key[it.sid], it.head, role) end
  call('ZADD', z, score_of(role, expiry(it.score)), it.sid)
  add('e' .. role_of(it.score) .. ROLE_CHANGED)
  add('s' .. role)
end
follow(a, { plan }, {})
count(n)
return { 1, #moved, 0 }
