-- Removes a key that holds what its reader could not use, unless another process has replaced it since.
--
-- KEYS  key of scores, or of a hash
-- ARGV  the beginning of the scores that were read, or the field "check" of the hash (empty: it had none),
--       "1" for a hash
-- Returns 1 if the key was removed.
local held
if ARGV[2] == "1" then
  held = redis.pcall("HGET", KEYS[1], "check") or ""
else
  held = redis.pcall("GETRANGE", KEYS[1], 0, #ARGV[1] - 1)
end
if held == ARGV[1] then return redis.call("UNLINK", KEYS[1]) end
if type(held) ~= "table" then return 0 end
-- A value of another type has no part in any entry.
return held.err:find("WRONGTYPE", 1, true) and redis.call("UNLINK", KEYS[1]) or held
