"""The place of a Redis and the login there, whether that came from a url or from a redis-py client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import redis
import redis.asyncio

from semcache.errors import ConfigurationError
from semcache.redis.client.sentinel import Sentinels

Kind = Literal["tcp", "tls", "unix"]

SYNC: Mapping[Kind, type[Any]] = {
    "tcp": redis.Connection,
    "tls": redis.SSLConnection,
    "unix": redis.UnixDomainSocketConnection,
}
ASYNC: Mapping[Kind, type[Any]] = {
    "tcp": redis.asyncio.Connection,
    "tls": redis.asyncio.SSLConnection,
    "unix": redis.asyncio.UnixDomainSocketConnection,
}
"""redis-py's connections of each kind, for threads and for event loops."""

TLS_OPTIONS = frozenset(
    {
        *("ssl_keyfile", "ssl_certfile", "ssl_password", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_ca_data"),
        *("ssl_check_hostname", "ssl_min_version", "ssl_ciphers"),
        *("ssl_include_verify_flags", "ssl_exclude_verify_flags"),
    }
)
"""Options of TLS that redis-py's connections for threads and for event loops both know."""

ONLY_SYNC = frozenset({"ssl_validate_ocsp", "ssl_validate_ocsp_stapled", "ssl_ocsp_context", "ssl_ocsp_expected_cert"})
"""Options of TLS that only connections for threads know. To leave them out for event loops would weaken the check of
the server's certificate, so they are refused."""


@dataclass(frozen=True, slots=True)
class Address:
    """A Redis, and what redis-py needs to connect and log in: ``parameters``, as its connections name them.

    They hold nothing that decides how replies are read or how long is waited: that is semcache's own. ``ignored`` holds
    the options that were left out for this reason, each with what to do instead. ``others`` are further nodes of a
    cluster, host and port, to be asked if this one does not answer. With ``sentinels`` it is the primary that these
    name, and ``parameters`` have no host.

    Raises ConfigurationError for a database other than 0, and for certificates that are not where they should be.
    """

    kind: Kind
    parameters: Mapping[str, Any] = field(repr=False)  # a password may be among them
    ignored: Mapping[str, str] = field(default_factory=dict)
    others: tuple[tuple[str, int], ...] = ()
    sentinels: Sentinels | None = None

    def __post_init__(self) -> None:
        database = str(self.parameters.get("db") or 0)
        if database != "0":
            raise ConfigurationError(
                f"Redis database {database} (db={database}) cannot be used: the search module indexes the keys of all "
                "databases alike, so that applications in two of them would meet; use database 0, and keep "
                "applications apart by cache.namespace (SEMCACHE_NAMESPACE)"
            )
        for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path"):
            path = self.parameters.get(name)
            if path and not Path(path).exists():
                raise ConfigurationError(f"{name} of the Redis connection names {path}, which does not exist")

    def each(self) -> Sequence["Address"]:
        """The addresses of all nodes that are named, each alone."""
        alone = replace(self, others=())
        return [alone, *(replace(alone, parameters={**self.parameters, "host": h, "port": p}) for h, p in self.others)]

    @property
    def where(self) -> str:
        """The server in words, without user or password: ``Redis at redis://localhost:6379``."""
        if self.kind == "unix":
            return f"Redis at unix://{self.parameters.get('path', '')}"
        if self.sentinels is not None:
            scheme = "rediss" if self.kind == "tls" else "redis"
            return f"Redis at {scheme}+sentinel://{self.sentinels}/{self.sentinels.service}"
        host = str(self.parameters.get("host", "localhost"))
        shown = f"[{host}]" if ":" in host else host
        return f"Redis at {'rediss' if self.kind == 'tls' else 'redis'}://{shown}:{self.parameters.get('port', 6379)}"
