-- Replaces the scores of an entry unless they were changed since the caller read them. Its end stays.
--
-- KEYS  vector hash, scores string
-- ARGV  bytes that the caller read, new bytes (empty: the entry is removed whole), "1" if the old ones must go: a server
--       that is full refuses new bytes, and then the entry is removed whole, too
-- Returns 1, or 0 if the scores were changed.
if redis.call("GET", KEYS[2]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == "" then
  redis.call("UNLINK", KEYS[1], KEYS[2])
else
  local reply = redis.pcall("SET", KEYS[2], ARGV[2], "KEEPTTL")
  if reply.err and not (ARGV[3] == "1" and reply.err:find("OOM", 1, true)) then return reply end
  if reply.err then redis.call("UNLINK", KEYS[1], KEYS[2]) end
end
return 1
