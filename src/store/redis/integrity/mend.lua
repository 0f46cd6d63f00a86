-- Brings the index in line with records. The totals of a role that agreed before agree afterwards; where they did not,
-- they are settled when all of the shard is mended.
-- KEYS z n, then the records
-- ARGV now, then of each record: the session, 1 if the record can be read, and then whose it is; else what is in it
-- how many entries changed
local z, n = KEYS[1], KEYS[2]
local before, indexed, dropped = gaps(z, n), {}, {}
for i = 3, #KEYS do
  local at = 3 * i - 7
  local sid, seen = ARGV[at], ARGV[at + 2]
  local it, text = record(KEYS[i])
  local score = tonumber(call('ZSCORE', z, sid))
  if ARGV[at + 1] == '1' then
    -- The record may have moved on since the caller saw it: as it is now, it is right.
    local want = it and it.role * B + it.exp
    if it and it.uid == seen and want ~= score and (score or it.exp > now) then
      indexed[#indexed + 1] = { sid, want }
    end
  elseif score and (text or '') == seen then
    dropped[#dropped + 1] = sid
  end
end
-- All was read. The first write is one that a full memory refuses, so it refuses all of them.
for _, it in ipairs(indexed) do call('ZADD', z, S(it[2]), it[1]) end
for _, sid in ipairs(dropped) do call('ZREM', z, sid) end
local gap = gaps(z, n)
for role = 0, 3 do
  if before[role] ~= 0 then gap[role] = 0 end
end
settle(n, gap)
return #indexed + #dropped
