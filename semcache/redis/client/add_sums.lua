-- Adds float64 numbers, little-endian, to those of a string, in one step, and returns the numbers after that.
--
-- The first number is a version, the second counts what was added up. Where that would exceed a maximum, all old numbers
-- are scaled down first, so that old ones are forgotten slowly. Numbers of another version or length are replaced.
--
-- KEYS  string
-- ARGV  TTL in ms, maximum of the second number, the new numbers
local key, most, new = KEYS[1], tonumber(ARGV[2]), ARGV[3]
local old = redis.call("GET", key)
local sums = new

if old and #old == #new and old:sub(1, 8) == new:sub(1, 8) then
  local function number(blob, at) return (struct.unpack("<d", blob, at)) end
  local had = number(old, 9)
  local share = had > 0 and math.max(0, math.min(1, (most - number(new, 9)) / had)) or 1
  local packed = { new:sub(1, 8) }
  for at = 9, #new, 8 do
    local sum = share * number(old, at) + number(new, at)
    -- A damaged number would stay damaged for ever.
    if sum ~= sum or sum == math.huge or sum == -math.huge then packed = nil break end
    packed[#packed + 1] = struct.pack("<d", sum)
  end
  sums = packed and table.concat(packed) or new
end

redis.call("SET", key, sums, "PX", ARGV[1])
return sums
