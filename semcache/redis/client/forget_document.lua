-- Removes every record of one document from an entry. An entry left without scores is removed whole.
--
-- KEYS  vector hash, scores string
-- ARGV  fingerprint, bytes of a record, bytes of the version
-- Returns 1 if the entry held the document, else 0.
local fingerprint, step, first = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]) + 1
local blob = redis.call("GET", KEYS[2])
if not blob or not blob:find(fingerprint, first, true) then
  return 0
end

local kept = {}
for at = first, #blob, step do
  -- Only where a record begins: the same bytes may stand across two records by chance.
  if blob:sub(at, at + #fingerprint - 1) ~= fingerprint then
    kept[#kept + 1] = blob:sub(at, at + step - 1)
  end
end
if #kept * step == #blob - first + 1 then
  return 0
end
if #kept == 0 then
  redis.call("UNLINK", KEYS[1], KEYS[2])
else
  redis.call("SET", KEYS[2], blob:sub(1, first - 1) .. table.concat(kept), "KEEPTTL")
end
return 1
