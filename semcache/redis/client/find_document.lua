-- Finds the entries in which a document may have a score; the caller looks closer, since the same bytes may stand across
-- two records by chance.
--
-- KEYS  scores string
-- ARGV  fingerprint, maximum of bytes of an entry
-- Returns the bytes of the entry, one more than the maximum at most; false if the document is not among them.
local blob = redis.call("GETRANGE", KEYS[1], 0, ARGV[2])
return blob:find(ARGV[1], 1, true) and blob
