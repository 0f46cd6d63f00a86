-- Replaces the last line of a record, the application's state.
-- KEYS s | ARGV now state | 1 done; 0 the session is not live; -1 the record cannot be read
local it, text = record(KEYS[1])
if it == nil then return 0 end
local line = it and text:find('\n', 103, true)
if not line then return CORRUPT end
if it.exp <= now then return 0 end
call('SET', KEYS[1], text:sub(1, line) .. ARGV[2], 'KEEPTTL')
return 1
