-- The memory use of these keys in bytes; missing keys are left out. KEYS …
local bytes = {}
for _, key in ipairs(KEYS) do bytes[#bytes + 1] = redis.call('MEMORY', 'USAGE', key) or nil end
return bytes
