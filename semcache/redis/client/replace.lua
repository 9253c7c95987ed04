-- Replaces the scores of an entry unless they were changed since the caller read them. Its end stays.
--
-- KEYS  vector hash, scores string
-- ARGV  bytes that the caller read, new bytes (empty: the entry is removed whole)
-- Returns 1, or 0 if the scores were changed.
if redis.call("GET", KEYS[2]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == "" then
  redis.call("UNLINK", KEYS[1], KEYS[2])
else
  redis.call("SET", KEYS[2], ARGV[2], "KEEPTTL")
end
return 1
