-- KEYS due | ARGV now limit | names of at most `limit` states that say nothing any more
return call('ZRANGEBYSCORE', KEYS[1], '-inf', S(now), 'LIMIT', 0, ARGV[2])
