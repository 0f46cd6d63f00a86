-- Takes the lease, or holds on to it. The server counts the time: a lease is between processes.
-- KEYS lease epoch | ARGV holder ttl | {1 if it is the holder's, epoch}
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
elseif not holder then
  -- First what a full memory lets through: what follows it is let through too. A full server is to be observed as well.
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  redis.call('INCR', KEYS[2])
  holder = ARGV[1]
end
return { holder == ARGV[1] and 1 or 0, tonumber(redis.call('GET', KEYS[2]) or 0) }
