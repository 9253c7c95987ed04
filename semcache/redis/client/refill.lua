-- Puts an entry into an index that was created without going through all keys, by writing a field as it is.
--
-- KEYS  vector hash
-- ARGV  seconds since 1970: entries that were written later are in the index already
-- Returns 1 if the entry was put in.
local created = redis.pcall("HGET", KEYS[1], "created_at")
if type(created) ~= "string" then return 0 end
local check = redis.call("HGET", KEYS[1], "check")
if not check or (tonumber(created) or 0) > tonumber(ARGV[1]) then return 0 end
redis.call("HSET", KEYS[1], "check", check)
return 1
