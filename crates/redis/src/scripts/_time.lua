-- Time and numbers. Every script of sessions, login throttling and rate limits begins with this.
-- ARGV[1] is the time in ms; 0 uses the server's time.
local call = redis.call
local now = tonumber(ARGV[1])
if now == 0 then
  local t = call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
-- An integer as text: Lua itself writes 14 digits and then an exponent.
local function S(n) return string.format('%.0f', n) end
