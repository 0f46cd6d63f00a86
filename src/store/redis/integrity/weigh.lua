-- What these keys take in memory, in bytes; nothing of one that is gone. KEYS …
local bytes = {}
for _, key in ipairs(KEYS) do bytes[#bytes + 1] = redis.call('MEMORY', 'USAGE', key) or nil end
return bytes
