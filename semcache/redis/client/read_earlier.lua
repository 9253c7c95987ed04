-- Reads how much better than the other candidates documents scored for earlier queries.
--
-- KEYS  hash of the present period, hash of the one before
-- ARGV  fingerprints of 16 bytes, one behind the other; the id of a query, or nothing
-- Returns per document the sum of the differences and their number, as float32, 0 and 0 where nothing is known; what is
-- only known from the period before counts half. Nothing at all where the query itself is among those summed up.
local current, previous, documents, query = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local found = {}

if query ~= "" and (redis.call("HGET", current, query) or redis.call("HGET", previous, query)) then return "" end

for at = 1, #documents, 16 do
  local document = documents:sub(at, at + 15)
  local value, share = redis.call("HGET", current, document), 1
  if not value then value, share = redis.call("HGET", previous, document), 0.5 end
  local sum, count = 0, 0
  if value and #value == 8 then sum, count = struct.unpack("<ff", value) end
  found[#found + 1] = struct.pack("<ff", share * sum, share * count)
end

return table.concat(found)
