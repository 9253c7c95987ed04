"""Says of a Redis that cannot be reached what is probably wrong, by the words of the failure."""

from semcache.commands.doctor.finding import Finding, Verdict, failed
from semcache.errors import StoreError, StoreUnavailableError
from semcache.redis.client.address import Address
from semcache.redis.client.connection import RedisConnection

CHECK = "reachable"

_SILENT = (
    "open the port in firewalls and security groups between here and there; where it is only slow, raise "
    "redis.timeout_s and redis.connect_timeout_s"
)
_IS_PLAIN = "where that port is not for TLS, write redis:// in place of rediss://; otherwise "
# By words of the operating system and redis-py. The first row that fits counts.
_REMEDIES: tuple[tuple[str, str], ...] = (
    ("connection refused", "start Redis there, or correct host and port in redis.url (SEMCACHE_REDIS_URL)"),
    ("name or service not known", "correct the name of the host in redis.url (SEMCACHE_REDIS_URL), or the DNS entry"),
    (
        "name resolution",
        "correct the name of the host in redis.url (SEMCACHE_REDIS_URL), or ask why DNS does not answer",
    ),
    ("nodename nor servname", "correct the name of the host in redis.url (SEMCACHE_REDIS_URL), or the DNS entry"),
    ("no such file", "start Redis, or correct the path of the socket in redis.url (SEMCACHE_REDIS_URL)"),
    ("in time", _SILENT),
    ("timed out", _SILENT),
)
_IS_TLS = "check that Redis listens there; where that port is for TLS, write rediss:// in place of redis://"


def reachable(connection: RedisConnection, address: Address | str) -> Finding:
    """Whether the server answers, after logging in."""
    try:
        nodes = connection.nodes
    except StoreError as error:
        found = failed(CHECK, error)
        words = str(error).lower()
        # What the server itself refuses, such as a password, has its remedy already.
        is_away = isinstance(error, StoreUnavailableError)
        remedy = next((remedy for sign, remedy in _REMEDIES if is_away and sign in words), "")
        is_plain = isinstance(address, Address) and address.kind == "tcp"
        if not remedy and is_plain and any(sign in words for sign in ("closed", "reset", "no reply of redis")):
            remedy = _IS_TLS
        # A server without TLS waits for the end of a line, which the hello of TLS does not have.
        if remedy == _SILENT and isinstance(address, Address) and address.kind == "tls":
            remedy = _IS_PLAIN + _SILENT
        return Finding(CHECK, Verdict.FAULT, found.seen, remedy or found.remedy)
    kind = "" if connection.topology is None else f", a Redis Cluster of {len(nodes)} shards"
    return Finding(CHECK, Verdict.OK, f"{connection.node.where} answers{kind}")
