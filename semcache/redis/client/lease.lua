-- Prolongs a lease, or ends it, unless another process holds it by now.
--
-- KEYS  the lease
-- ARGV  token of the process, its life in ms (0: end it)
-- Returns 1 if the process held it.
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == "0" then
  redis.call("UNLINK", KEYS[1])
else
  redis.call("PEXPIRE", KEYS[1], ARGV[2])
end
return 1
