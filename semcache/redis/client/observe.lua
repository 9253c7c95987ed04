-- Adds observations to the quality state of a scope, in one step, and returns the whole state if asked to.
--
-- KEYS  state hash
-- ARGV  TTL in ms, recent observations after which a group's recent ones become older ones, older ones above which all
--       sums of the group are halved, "1" to return the state,
--       number of groups, for each its name, how many observations are new, and its bands with a comma after each,
--       then names of fields and what to add to each
local key = KEYS[1]
local ttl, max_recent, max_older = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local returns_state, groups = ARGV[4] == "1", tonumber(ARGV[5])

local function finite(text)
  local number = tonumber(text)
  return number and math.abs(number) < math.huge and number or 0
end

-- Adds to a field by this command; a damaged number counts as none, and would stay damaged as long as the hash lives.
local function add(command, field, amount)
  local sum = redis.pcall(command, key, field, amount)
  if type(sum) ~= "table" then return tonumber(sum) end
  -- "hash value is not a float", "value is NaN or Infinity": anything else is no fault of the field.
  local is_damaged = sum.err:find("hash value is not", 1, true) or sum.err:find("Infinity", 1, true)
  if not is_damaged or not (math.abs(tonumber(amount)) < math.huge) then error(sum) end
  redis.call("HSET", key, field, amount)
  return tonumber(amount)
end

for at = 6 + 3 * groups, #ARGV, 2 do
  add("HINCRBYFLOAT", ARGV[at], ARGV[at + 1])
end

-- Fields are named "<band>:<number>"; r3 and o3 count recent and older losses in bin 3. "<band>@<tenants>" belongs to the
-- band: it is what a group of tenants was seen to lose.
local function each_number_of(bands, change)
  local all = redis.call("HGETALL", key)
  for at = 1, #all, 2 do
    local band, number = all[at]:match("^(.-):(.+)$")
    if band and bands:find(band:match("^[^@]*") .. ",", 1, true) then change(band, number, finite(all[at + 1])) end
  end
end

-- Makes recent observations older ones; returns the number of all older ones.
local function settle(bands)
  local older = 0
  each_number_of(bands, function(band, name, number)
    if name:match("^r%d+$") then
      add("HINCRBYFLOAT", band .. ":o" .. name:sub(2), number)
      redis.call("HDEL", key, band .. ":" .. name)
    end
    if name:match("^[ro]%d+$") then older = older + number end
  end)
  return older
end

local function halve(bands)
  each_number_of(bands, function(band, name, number)
    redis.call("HSET", key, band .. ":" .. name, string.format("%.9g", number / 2))
  end)
end

for at = 6, 5 + 3 * groups, 3 do
  local counter, bands = "recent " .. ARGV[at], ARGV[at + 2]
  if add("HINCRBY", counter, ARGV[at + 1]) >= max_recent then
    redis.call("HDEL", key, counter)
    if settle(bands) > max_older then halve(bands) end
  end
end

redis.call("PEXPIRE", key, ttl)
return returns_state and redis.call("HGETALL", key) or {}
