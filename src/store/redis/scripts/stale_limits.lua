-- An expiry further away than the horizon, which no state reaches, is from a clock that was ahead: it is cut to that.
-- KEYS due | ARGV now limit horizon | names of at most `limit` states that say nothing any more
local furthest = S(now + tonumber(ARGV[3]))
for _, name in ipairs(call('ZRANGEBYSCORE', KEYS[1], '(' .. furthest, '+inf', 'LIMIT', 0, ARGV[2])) do
  call('ZADD', KEYS[1], furthest, name)
end
return call('ZRANGEBYSCORE', KEYS[1], '-inf', S(now), 'LIMIT', 0, ARGV[2])
