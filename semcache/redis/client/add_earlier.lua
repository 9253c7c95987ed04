-- Adds how much better than the other candidates documents scored for one query, in one step.
--
-- KEYS  hash of the present period, hash of the one before
-- ARGV  TTL in ms, the id of the query, fingerprints of 16 bytes, one behind the other, a float32 difference of each
-- Returns how many fields are new. A query is added once in two periods. A document that is new in this period begins
-- with half of what the period before knows of it.
local current, previous, life, query = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local documents, differences = ARGV[3], ARGV[4]
local new = 0

if redis.call("HGET", current, query) or redis.call("HGET", previous, query) then return 0 end

-- A damaged number would stay damaged as long as the hash lives.
local function parts(value)
  if not value or #value ~= 8 then return 0, 0 end
  local sum, count = struct.unpack("<ff", value)
  if sum - sum ~= 0 or count - count ~= 0 then return 0, 0 end
  return sum, count
end

for at = 1, #documents, 16 do
  local document = documents:sub(at, at + 15)
  local value, share = redis.call("HGET", current, document), 1
  if not value then
    value, share, new = redis.call("HGET", previous, document), 0.5, new + 1
  end
  local sum, count = parts(value)
  local difference = struct.unpack("<f", differences, (at - 1) / 4 + 1)
  redis.call("HSET", current, document, struct.pack("<ff", share * sum + difference, share * count + 1))
end

redis.call("HSET", current, query, "")
redis.call("PEXPIRE", current, life)
return new + 1
