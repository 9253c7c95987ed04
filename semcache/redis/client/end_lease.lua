-- Ends a lease unless it has expired and another process holds it now; or removes a mark that was not replaced since.
--
-- KEYS  lease, or mark
-- ARGV  token of the process that ends it, or the mark as it was read
-- Returns 1 if it was ended.
return redis.call("GET", KEYS[1]) == ARGV[1] and redis.call("DEL", KEYS[1]) or 0
