-- Brings the index in line with records. The totals of a role that agreed before still agree afterwards; the others are
-- corrected after the whole shard is repaired.
-- KEYS z n, then the records
-- ARGV now, then for each record: the session, 1 if the record can be read, and then its user; otherwise its content
-- Returns how many entries changed.
local z, n = KEYS[1], KEYS[2]
local before, indexed, dropped = gaps(z, n), {}, {}
for i = 3, #KEYS do
  local at = 3 * i - 7
  local sid, seen = ARGV[at], ARGV[at + 2]
  local it, text = record(KEYS[i])
  local score = tonumber(call('ZSCORE', z, sid))
  if ARGV[at + 1] == '1' then
    -- The record may have changed since the caller read it: its current state is the valid one.
    local want = it and it.role * B + it.exp
    if it and it.uid == seen and want ~= score and (score or it.exp > now) then
      indexed[#indexed + 1] = { sid, want }
    end
  elseif score and (text or '') == seen then
    dropped[#dropped + 1] = sid
  end
end
-- All reads are done. Redis rejects the first write when its memory is full, so it rejects all of them.
for _, it in ipairs(indexed) do call('ZADD', z, S(it[2]), it[1]) end
for _, sid in ipairs(dropped) do call('ZREM', z, sid) end
local gap = gaps(z, n)
for role = 0, 3 do
  if before[role] ~= 0 then gap[role] = 0 end
end
settle(n, gap)
return #indexed + #dropped
