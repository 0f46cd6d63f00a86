-- Returns the users of these sessions, so that their keys can be declared.
-- KEYS s … | ARGV now | the uid of each; nil if there is no record; -1 if it cannot be read
local owners = {}
for i, key in ipairs(KEYS) do
  local it = head(key)
  if it == nil then owners[i] = false else owners[i] = it and it.uid or CORRUPT end
end
return owners
