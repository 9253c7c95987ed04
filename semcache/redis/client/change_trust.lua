-- Replaces the trust of a scope unless it was changed since the caller read it. Returns the whole state either way.
--
-- KEYS  state hash
-- ARGV  TTL in ms, number of changes that the caller has read, "1" to start all counting anew,
--       then names and values of the fields of the trust
local key, changes = KEYS[1], tonumber(ARGV[2])

if tonumber(redis.call("HGET", key, "changes") or "0") == changes then
  if ARGV[3] == "1" then redis.call("DEL", key) end
  redis.call("HSET", key, "changes", changes + 1, unpack(ARGV, 4))
  redis.call("PEXPIRE", key, ARGV[1])
end
return redis.call("HGETALL", key)
