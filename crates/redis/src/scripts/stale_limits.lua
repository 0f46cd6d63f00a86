-- An expiry beyond the horizon, which no state reaches, comes from a clock that was ahead: it is reduced to the
-- horizon.
-- KEYS due | ARGV now limit horizon | names of up to `limit` states that are equivalent to none
local furthest = S(now + tonumber(ARGV[3]))
for _, name in ipairs(call('ZRANGEBYSCORE', KEYS[1], '(' .. furthest, '+inf', 'LIMIT', 0, ARGV[2])) do
  call('ZADD', KEYS[1], furthest, name)
end
return call('ZRANGEBYSCORE', KEYS[1], '-inf', S(now), 'LIMIT', 0, ARGV[2])
