-- Replaces the trust of a scope unless it was changed since the caller read it. Returns the whole state either way.
--
-- KEYS  state hash
-- ARGV  TTL in ms, number of changes that the caller has read, "1" to start all counting anew, "@<tenants>" to do so for a
--       group of tenants, then names and values of the fields of the trust
local key, changes = KEYS[1], tonumber(ARGV[2])
-- A damaged number counts as none for readers, too: else no decision could ever be replaced.
local held = (redis.call("HGET", key, "changes") or ""):match("^%d+$")

if tonumber(held or "0") == changes then
  if ARGV[3] == "1" then
    redis.call("DEL", key)
  elseif ARGV[3] ~= "0" then
    for _, name in ipairs(redis.call("HKEYS", key)) do
      local band = name:match("^(.-):")
      if band and "@" .. (band:match("@(.*)$") or "") == ARGV[3] then redis.call("HDEL", key, name) end
    end
  end
  redis.call("HSET", key, "changes", changes + 1, unpack(ARGV, 4))
  redis.call("PEXPIRE", key, ARGV[1])
end
return redis.call("HGETALL", key)
