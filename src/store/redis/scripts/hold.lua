-- Takes the lease, or holds on to it. The server counts the time: a lease is between processes.
-- KEYS lease epoch deployment | ARGV holder ttl service deployment
-- {1 if it is the holder's, epoch, 1 if whoever has it is of this service, 1 if the keys belong to another deployment}
local found, own = redis.call('GET', KEYS[1]), ARGV[1] .. ':' .. ARGV[3]
local deployment = redis.call('GET', KEYS[3])
if deployment and ARGV[4] ~= '' and deployment ~= ARGV[4] then
  return { 0, tonumber(redis.call('GET', KEYS[2]) or 0), 0, 1 }
end
if found == own then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
elseif not found then
  -- First what a full memory lets through: what follows it is let through too. A full server is to be observed as well.
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[1], own, 'PX', ARGV[2])
  redis.call('INCR', KEYS[2])
  found = own
end
-- Lost with the data of the server, if it is missing.
if not deployment and ARGV[4] ~= '' then
  redis.call('DEL', KEYS[3])
  redis.call('SET', KEYS[3], ARGV[4])
end
local is_kin = found:match(':(.*)$') == ARGV[3]
return { found == own and 1 or 0, tonumber(redis.call('GET', KEYS[2]) or 0), is_kin and 1 or 0, 0 }
