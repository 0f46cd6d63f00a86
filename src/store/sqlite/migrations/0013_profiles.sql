-- What a login page and applications show of a user. Both are optional.
ALTER TABLE accounts ADD COLUMN display_name TEXT;
ALTER TABLE accounts ADD COLUMN email TEXT;

-- The network that the client logged in from, in CIDR notation: IPv4 /24, IPv6 /48. Null for sessions from before this.
ALTER TABLE sessions ADD COLUMN network TEXT;
