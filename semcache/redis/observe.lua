-- Adds observations to the quality state of a scope, in one step, and gives the whole state back if asked.
--
-- KEYS  state hash
-- ARGV  TTL in ms, recent observations after which a band's recent ones become older ones, older ones above which all
--       sums of the band are halved, "1" to give the state back, number of bands, the bands,
--       then names of fields and what to add to each
local key = KEYS[1]
local ttl, block, most, wanted, bands = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == "1", tonumber(ARGV[5])

for at = 6 + bands, #ARGV, 2 do
  redis.call("HINCRBYFLOAT", key, ARGV[at], ARGV[at + 1])
end

-- Fields are named "<band>:<number>"; n counts recent observations, r3 and o3 recent and older losses in bin 3.
local function numbers_of(band)
  local found, all = {}, redis.call("HGETALL", key)
  for at = 1, #all, 2 do
    if all[at]:sub(1, #band + 1) == band .. ":" then
      found[all[at]:sub(#band + 2)] = tonumber(all[at + 1])
    end
  end
  return found
end

-- Makes recent observations older ones; gives the number of all older ones.
local function settle(band)
  local older = 0
  for name, number in pairs(numbers_of(band)) do
    if name:match("^r%d+$") then
      redis.call("HINCRBYFLOAT", key, band .. ":o" .. name:sub(2), number)
      redis.call("HDEL", key, band .. ":" .. name)
    end
    if name:match("^[ro]%d+$") then older = older + number end
  end
  redis.call("HDEL", key, band .. ":n")
  return older
end

local function halve(band)
  for name, number in pairs(numbers_of(band)) do
    redis.call("HSET", key, band .. ":" .. name, string.format("%.9g", number / 2))
  end
end

for at = 6, 5 + bands do
  local band = ARGV[at]
  if tonumber(redis.call("HGET", key, band .. ":n") or "0") >= block and settle(band) > most then
    halve(band)
  end
end

redis.call("PEXPIRE", key, ttl)
return wanted and redis.call("HGETALL", key) or {}
