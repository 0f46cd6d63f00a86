-- KEYS any | ARGV now | the time in ms
return S(now)
