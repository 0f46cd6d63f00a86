-- Resets failures and locks; attempts in flight stay in flight.
-- KEYS due state | ARGV now name | 1 if there were any
local it = find(KEYS[2])
if not it then return 0 end
local had_any = it.spent > 0 or it.locks > 0 or it.locked_until > 0
it.spent, it.locked_until, it.locks = 0, 0, 0
if is_empty(it) then
  call('DEL', KEYS[2])
  call('ZREM', KEYS[1], ARGV[2])
else
  call('SET', KEYS[2], text_of(it), 'KEEPTTL')
end
return had_any and 1 or 0
