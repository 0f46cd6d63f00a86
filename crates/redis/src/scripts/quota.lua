-- Charges one request of a service: the arithmetic of `services::quota`, repeated here because all replicas share one
-- state.
-- A state is `arrival day used`: microseconds, days and requests. All values stay below 2^53, where doubles are exact,
-- because the tolerance is at most ten years.
-- KEYS quota | ARGV now interval tolerance quota; in microseconds except now; the quota is -1 if there is none
-- {rejected, wait, ahead, used, resets}: 0 allowed, 1 the rate, 2 the daily quota; microseconds, but resets in ms
local key = KEYS[1]
local interval, tolerance, quota = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local DAY = 86400000
-- The key outlives its state by this time.
local GRACE = 3600000

local today, now_us = math.floor(now / DAY), now * 1000
-- A malformed state counts as none.
local text = redis.pcall('GET', key)
local arrival, day, used
if type(text) == 'string' then arrival, day, used = text:match('^(%d+) (%d+) (%d+)$') end
arrival, day, used = tonumber(arrival or 0), tonumber(day or 0), tonumber(used or 0)

local lowered = arrival > now_us + tolerance
if lowered then arrival = now_us + tolerance - interval end
-- A state of the next day occurs if the clock steps back over midnight.
if day ~= today and day ~= today + 1 then day, used = today, 0 end
used = math.min(used, 2 ^ 53)
local midnight = (day + 1) * DAY

local after = math.max(arrival, now_us) + interval
local refused, wait = 0, 0
if quota >= 0 and used >= quota then
  refused, wait = 2, (midnight - now) * 1000
elseif after - now_us > tolerance then
  refused, wait = 1, after - now_us - tolerance
else
  arrival, used = after, used + 1
end
if refused == 0 or lowered then
  local lasts = math.max(math.ceil(arrival / 1000), midnight) - now + GRACE
  call('SET', key, S(arrival) .. ' ' .. S(day) .. ' ' .. S(used), 'PX', S(lasts))
end
return { refused, wait, math.max(arrival - now_us, 0), used, midnight - now }
