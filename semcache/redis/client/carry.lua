-- Writes what an entry of another scope says into this one, unless that entry was changed since it was read: what was
-- forgotten meanwhile must not come back. The new entry ends when the other one does; one that exists keeps its end.
--
-- KEYS  scores there, vector hash here, scores here
-- ARGV  scores there as they were read, block of scores that are missing here (empty: none), "1" for an order, which is
--       written only where there is none, maximum of bytes of all blocks, then the fields of the hash (none: no vector)
-- Returns 1, or 0 if the other entry was changed.
local there, vector_key, scores_key = KEYS[1], KEYS[2], KEYS[3]
local block, is_order, max_bytes = ARGV[2], ARGV[3] == "1", tonumber(ARGV[4])
if redis.call("GET", there) ~= ARGV[1] then return 0 end

local ttl = redis.call("PTTL", there)
local vector_ttl, scores_ttl = redis.call("PTTL", vector_key), redis.call("PTTL", scores_key)
local has_vector, has_scores = vector_ttl ~= -2, scores_ttl ~= -2
if has_scores then ttl = scores_ttl elseif has_vector then ttl = vector_ttl end
if ttl >= 0 then ttl = math.max(ttl, 1) end

if #ARGV > 4 and not has_vector then
  redis.call("HSET", vector_key, unpack(ARGV, 5))
  if ttl > 0 then redis.call("PEXPIRE", vector_key, ttl) end
end
if block == "" then return 1 end
if has_scores then
  local is_same_format = redis.call("GETRANGE", scores_key, 0, 0) == block:sub(1, 1)
  if not is_order and is_same_format and redis.call("STRLEN", scores_key) + #block <= max_bytes then
    redis.call("APPEND", scores_key, block)
  end
elseif ttl > 0 then
  redis.call("SET", scores_key, block, "PX", ttl)
else
  redis.call("SET", scores_key, block)
end
return 1
