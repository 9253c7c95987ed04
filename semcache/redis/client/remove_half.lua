-- Removes the hash of an entry whose scores are gone, unless another process has written them since.
--
-- KEYS  vector hash, scores string
-- Returns 1 if the hash was removed.
if redis.call("STRLEN", KEYS[2]) > 0 then return 0 end
return redis.call("UNLINK", KEYS[1])
