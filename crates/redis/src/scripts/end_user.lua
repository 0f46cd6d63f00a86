-- Ends all sessions of a user except one, or those that were started under an account version older than `version`: 0
-- ends those of every version.
-- KEYS u z a n, then the records of the sessions
-- ARGV now uid reason keep version, then the sessions of those records
-- {1, [end …]} done; {2, [sid …]} call again with these declared too
local u, z, a, n = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local uid, reason, keep = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local version = tonumber(ARGV[5])
local key, doomed, heads, needed = declared(5, 6), {}, {}, {}
for _, sid in ipairs(call('ZRANGE', u, 0, -1)) do
  if sid ~= keep and not key[sid] then
    needed[#needed + 1] = sid
  elseif sid ~= keep and (version == 0 or version_under(key[sid]) < version) then
    doomed[#doomed + 1] = sid
    heads[#doomed] = head(key[sid])
  end
end
if #needed > 0 then return { 2, needed } end
if #doomed == 0 then return { 1, {} } end
local score, gone, indexed, ended = scores(z, doomed), {}, {}, {}
for i, sid in ipairs(doomed) do
  gone[sid] = true
  if score[i] then indexed[#indexed + 1] = sid end
end
local plan = without(gone, u, z, uid)
drop(z, indexed)
for i, sid in ipairs(doomed) do
  call('DEL', key[sid])
  local it = heads[i]
  local at = score[i] or it and it.role * B + it.exp
  if at then ended[#ended + 1] = finish(sid, at, it, reason) end
end
follow(a, { plan }, {})
count(n)
return { 1, ended }
