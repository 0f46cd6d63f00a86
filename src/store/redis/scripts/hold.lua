-- Takes the lease, or holds on to it. The server counts the time: a lease is between processes.
-- KEYS lease epoch | ARGV holder ttl service | {1 if it is the holder's, epoch, 1 if whoever has it is of this service}
local found, own = redis.call('GET', KEYS[1]), ARGV[1] .. ':' .. ARGV[3]
if found == own then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
elseif not found then
  -- First what a full memory lets through: what follows it is let through too. A full server is to be observed as well.
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[1], own, 'PX', ARGV[2])
  redis.call('INCR', KEYS[2])
  found = own
end
local is_kin = found:match(':(.*)$') == ARGV[3]
return { found == own and 1 or 0, tonumber(redis.call('GET', KEYS[2]) or 0), is_kin and 1 or 0 }
