-- Integrity checks and repairs. Requires _time and _sessions before it.
local LOST = 6

-- Started - ended - indexed, by role: 0 if consistent.
local function gaps(z, n)
  local totals, flat, gap = {}, call('HGETALL', n), {}
  for i = 1, #flat, 2 do totals[flat[i]] = tonumber(flat[i + 1]) end
  for role = 0, 3 do
    gap[role] = (totals['s' .. role] or 0) - call('ZCOUNT', z, score_of(role, 0), '(' .. score_of(role + 1, 0))
    for reason = 0, LOST do gap[role] = gap[role] - (totals['e' .. role .. reason] or 0) end
  end
  return gap
end

-- Adds to the totals what closes these gaps; the totals only increase. Sessions missing under one role and surplus
-- under another have changed their role; other missing sessions were lost; other surplus sessions were never counted
-- and are counted as started.
local function settle(n, gap)
  local missing, extra = 0, 0
  for role = 0, 3 do
    missing, extra = missing + math.max(gap[role], 0), extra + math.max(-gap[role], 0)
  end
  local moved = math.min(missing, extra)
  for role = 0, 3 do
    local by = gap[role]
    if by > 0 then
      local changed = math.min(by, moved)
      moved = moved - changed
      tally['e' .. role .. ROLE_CHANGED] = changed
      tally['e' .. role .. LOST] = by - changed
      tally.lost = (tally.lost or 0) + by - changed
    elseif by < 0 then
      tally['s' .. role] = -by
    end
  end
  for field, by in pairs(tally) do if by == 0 then tally[field] = nil end end
  count(n)
  return missing + extra
end
