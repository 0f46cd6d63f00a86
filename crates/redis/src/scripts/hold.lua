-- Acquires or renews the lease. The server measures the time, because the lease is shared between processes.
-- KEYS lease epoch deployment | ARGV holder ttl service deployment
-- {1 if the holder has it, epoch, 1 if the current holder is of this service, 1 if the keys belong to another
-- deployment}
local found, own = redis.call('GET', KEYS[1]), ARGV[1] .. ':' .. ARGV[3]
local deployment = redis.call('GET', KEYS[3])
if deployment and ARGV[4] ~= '' and deployment ~= ARGV[4] then
  return { 0, tonumber(redis.call('GET', KEYS[2]) or 0), 0, 1 }
end
if found == own then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
elseif not found then
  -- First a write that Redis accepts when its memory is full: the following ones are then accepted too. A full server
  -- has to be observed as well.
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[1], own, 'PX', ARGV[2])
  redis.call('INCR', KEYS[2])
  found = own
end
-- If it is missing, it was lost with the data of the server.
if not deployment and ARGV[4] ~= '' then
  redis.call('DEL', KEYS[3])
  redis.call('SET', KEYS[3], ARGV[4])
end
local is_kin = found:match(':(.*)$') == ARGV[3]
return { found == own and 1 or 0, tonumber(redis.call('GET', KEYS[2]) or 0), is_kin and 1 or 0, 0 }
