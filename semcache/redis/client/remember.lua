-- Writes an entry, or adds scores to one, in one step: a plain APPEND after an expiry would leave a string without
-- version byte and TTL, and two processes that write the same new query at once would lose each other's scores.
--
-- KEYS  vector hash, scores string
-- ARGV  records, version byte, "1" if an order is replaced whole, maximum of bytes of records, TTL in ms (0: none),
--       then the fields of the hash (none: no vector is at hand, and a new entry can only be read exactly)
local vector_key, scores_key = KEYS[1], KEYS[2]
local records, version, replace, max_bytes, fresh_ttl = ARGV[1], ARGV[2], ARGV[3] == "1", tonumber(ARGV[4]), tonumber(ARGV[5])
local has_fields = #ARGV > 5

local vector_ttl, scores_ttl = redis.call("PTTL", vector_key), redis.call("PTTL", scores_key)
local has_vector, has_scores = vector_ttl ~= -2, scores_ttl ~= -2

-- Both keys expire at the same time. If one of them exists, its TTL counts, so a write never extends an entry's life.
-- -1: no expiry.
local ttl = fresh_ttl > 0 and fresh_ttl or -1
if has_vector then ttl = vector_ttl elseif has_scores then ttl = scores_ttl end
local function expire(key)
  if ttl >= 0 then redis.call("PEXPIRE", key, math.max(ttl, 1)) end
end

if has_fields and not has_vector then
  redis.call("HSET", vector_key, unpack(ARGV, 6))
  expire(vector_key)
end

if has_scores and not replace then
  local held = redis.call("STRLEN", scores_key) - #version
  if held + #records <= max_bytes then
    redis.call("APPEND", scores_key, records)
    return 1
  end
  -- Full: the newest records stay.
  records = (redis.call("GETRANGE", scores_key, #version, -1) .. records):sub(-max_bytes)
end
if has_scores then
  redis.call("SET", scores_key, version .. records, "KEEPTTL")
else
  redis.call("SET", scores_key, version .. records)
  expire(scores_key)
end
return 1
