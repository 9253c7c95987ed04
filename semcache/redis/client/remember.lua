-- Writes an entry, or adds scores to one, in one step: a plain APPEND after an expiry would leave a string without TTL,
-- and two processes that write the same new query at once would lose each other's scores.
--
-- KEYS  vector hash, scores string, and the lease by which the scores were computed, if there is one
-- ARGV  block of scores, "1" if an order is replaced whole, maximum of bytes of all blocks, TTL in ms (0: none),
--       token of the lease, then the fields of the hash (none: no vector is at hand, and a new entry can only be read
--       exactly)
-- Returns the bytes of all blocks; 0 if the block was not written, since there is no room for it.
local vector_key, scores_key = KEYS[1], KEYS[2]
local block, replace, max_bytes, fresh_ttl = ARGV[1], ARGV[2] == "1", tonumber(ARGV[3]), tonumber(ARGV[4])
local has_fields = #ARGV > 5

-- Ended with the write, so that those who wait find the scores. Also by one that comes late: its scores are as true as
-- those of the process that has taken its place, and only that one's token ends that one's lease.
if KEYS[3] and redis.call("GET", KEYS[3]) == ARGV[5] then redis.call("DEL", KEYS[3]) end

local vector_ttl, scores_ttl = redis.call("PTTL", vector_key), redis.call("PTTL", scores_key)
local has_vector, has_scores = vector_ttl ~= -2, scores_ttl ~= -2

-- Both keys expire at the same time. If one of them exists, its TTL counts, so a write never extends an entry's life.
-- -1: no expiry.
local ttl = fresh_ttl > 0 and fresh_ttl or -1
if has_vector then ttl = vector_ttl elseif has_scores then ttl = scores_ttl end
if ttl >= 0 then ttl = math.max(ttl, 1) end

if has_fields and not has_vector then
  redis.call("HSET", vector_key, unpack(ARGV, 6))
  if ttl > 0 then
    local reply = redis.pcall("PEXPIRE", vector_key, ttl)
    if type(reply) == "table" and reply.err then
      -- A user without this right must not leave a hash behind that never ends.
      redis.call("UNLINK", vector_key)
      return reply
    end
  end
end

-- Nothing is added to another format: to readers of either it would be damaged.
if has_scores and not replace and redis.call("GETRANGE", scores_key, 0, 0) == block:sub(1, 1) then
  if redis.call("STRLEN", scores_key) + #block > max_bytes then return 0 end
  return redis.call("APPEND", scores_key, block)
end
if has_scores then
  redis.call("SET", scores_key, block, "KEEPTTL")
elseif ttl > 0 then
  redis.call("SET", scores_key, block, "PX", ttl)
else
  redis.call("SET", scores_key, block)
end
return #block
