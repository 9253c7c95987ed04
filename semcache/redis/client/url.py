"""Reads a Redis url: takes what says where the server is, and nothing that would change how semcache talks to it."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from redis.connection import parse_url

from semcache.errors import ConfigurationError
from semcache.redis.client.address import ONLY_SYNC, TLS_OPTIONS, Address, Kind
from semcache.redis.client.sentinel import Sentinels
from semcache.settings.suggestions import did_you_mean

_KINDS: Mapping[str, Kind] = {"redis": "tcp", "rediss": "tls", "unix": "unix"}
_USAGE = (
    "write redis://[user:password@]host:port, rediss://..., redis+sentinel://[user:password@]host:port/service, "
    "unix:///path/to/socket or embedded, with special characters of user and password percent-encoded"
)

_PORT, _SENTINEL_PORT = 6379, 26379
_OF_SENTINELS: Mapping[str, str] = {"sentinel_username": "username", "sentinel_password": "password"}
"""Options with the login at the Sentinels, and how redis-py names them. That of the url is for the primary."""

_TAKEN = frozenset({"db", "username", "password", "client_name", *TLS_OPTIONS})

# A url is often shared with other programs, which need these for themselves. So they are no error, and observers are
# told what holds instead.
_BYTES = "semcache reads replies as bytes, since vectors and scores are bytes"
_RESP2 = "semcache speaks RESP2, in which the replies of the search module have one shape on every server"
_BREAKER = "semcache repeats nothing that timed out; a circuit breaker leaves a failing Redis alone"
_POOLS = "semcache keeps one connection for each thread in a call, and at most four for each event loop"
_OURS: Mapping[str, str] = {
    "decode_responses": _BYTES,
    "encoding": _BYTES,
    "encoding_errors": _BYTES,
    "protocol": _RESP2,
    "legacy_responses": _RESP2,
    "socket_timeout": "set redis.timeout_s (SEMCACHE_REDIS__TIMEOUT_S)",
    "socket_connect_timeout": "set redis.connect_timeout_s (SEMCACHE_REDIS__CONNECT_TIMEOUT_S)",
    "socket_keepalive": "semcache always keeps TCP connections alive",
    "socket_read_size": _BYTES,
    "health_check_interval": "semcache opens a connection that was closed anew when it is used, and asks none before",
    "retry_on_timeout": _BREAKER,
    "retry_on_error": _BREAKER,
    "max_connections": _POOLS,
    "timeout": _POOLS,
}


def address_of_url(url: object) -> Address:
    """The address in a url. Raises ConfigurationError, which quotes no part of it that may belong to a password."""
    if not isinstance(url, str):
        # Numbers are shown; other objects may show a password.
        shown = f"{url!r}" if url is None or isinstance(url, int | float) else f"a {type(url).__name__}"
        unset = "; is the environment variable that it comes from set?" if url is None else ""
        raise ConfigurationError(f"redis_url is {shown}, not a text; {_USAGE}{unset}")
    if re.match(r"rediss?\+sentinel:", url):
        return _address_of_sentinels(url)
    if not url:
        raise ConfigurationError(f"redis_url is empty; {_USAGE}")
    try:
        parts = urlsplit(url)
        kind = _KINDS[parts.scheme]
        parts, others = _split_hosts(parts, _PORT) if kind != "unix" else (parts, ())
        _ = parts.port  # raises ValueError unless it is a number
    except (KeyError, ValueError):
        raise _unreadable() from None
    # An unescaped "#", "/" or "?" in a password ends the part of the url that logins are in. What follows must not be
    # taken for the database or for an option, and must not be quoted.
    if parts.fragment or (kind != "unix" and not re.fullmatch(r"/?[0-9]*/?", parts.path)):
        raise _unreadable()
    if kind == "unix" and not parts.path:
        raise ConfigurationError(f"redis_url names no socket; {_USAGE}")
    given = dict(reversed(parse_qsl(parts.query, keep_blank_values=True)))  # of two equal names the first counts
    _check_options(kind, given)
    taken = {name: value for name, value in given.items() if name in _TAKEN and value}
    parameters = _parsed(parts, taken)
    if kind != "unix" and int(parts.path.strip("/") or 0):
        parameters["db"] = int(parts.path.strip("/"))  # refused, also where redis-py would prefer a "?db=0"
    return Address(kind, parameters, {name: _OURS[name] for name in given if name in _OURS}, others)


def _address_of_sentinels(url: str) -> Address:
    """The primary of a service. The rest of the url is that of a Redis, and read as such."""
    scheme, _, rest = url.partition("+sentinel")
    try:
        parts = urlsplit(scheme + rest)
        first, others = _split_hosts(parts, _SENTINEL_PORT)
        hosts = ((first.hostname or "", first.port or _SENTINEL_PORT), *others)
    except ValueError:
        raise _unreadable() from None
    path = re.fullmatch(r"/([\w.-]+)(/?[0-9]*)", parts.path)
    if not hosts[0][0] or (path is None and parts.path.strip("/")):
        raise _unreadable()
    if path is None:
        raise ConfigurationError(f"redis_url names no service that the Sentinels watch; {_USAGE}")
    given = parse_qsl(parts.query, keep_blank_values=True)
    login = {_OF_SENTINELS[name]: value for name, value in given if name in _OF_SENTINELS and value}
    options = urlencode([(name, value) for name, value in given if name not in _OF_SENTINELS])
    of_primary = address_of_url(urlunsplit(first._replace(path=path[2], query=options)))
    parameters = {name: value for name, value in of_primary.parameters.items() if name not in ("host", "port")}
    tls = {name: value for name, value in parameters.items() if name in TLS_OPTIONS}
    if of_primary.kind == "tls":
        tls["ssl"] = True
    return replace(of_primary, parameters=parameters, sentinels=Sentinels(path[1], hosts, {**tls, **login}))


def _split_hosts(parts: SplitResult, port: int) -> tuple[SplitResult, tuple[tuple[str, int], ...]]:
    """The url with the first of its hosts alone, and the others. Raises ValueError."""
    login, at, hosts = parts.netloc.rpartition("@")
    first, *others = hosts.split(",")
    read = [urlsplit(f"//{host}") for host in others]
    if not all(one.hostname for one in read):
        raise ValueError("a comma without a host behind it")
    return parts._replace(netloc=f"{login}{at}{first}"), tuple((one.hostname or "", one.port or port) for one in read)


def _check_options(kind: Kind, given: Mapping[str, str]) -> None:
    for name, value in given.items():
        is_known = name in _TAKEN or name in _OURS or name in ONLY_SYNC
        # Text after a "?" in a password looks like an option, too, but the "@" of the login comes after it.
        if not is_known and (not re.fullmatch(r"[A-Za-z_]{1,40}", name) or "@" in "".join(given.values())):
            raise _unreadable()
        if name in ONLY_SYNC:
            raise ConfigurationError(
                f"the option {name} of the Redis url is unknown to redis-py's connections for event loops; remove it"
            )
        if name in TLS_OPTIONS and kind != "tls":
            raise ConfigurationError(f"the option {name} of the Redis url is for TLS; write rediss://, or remove it")
        if name == "ssl_cert_reqs" and value not in ("none", "optional", "required"):
            raise ConfigurationError("ssl_cert_reqs in the Redis url must be none, optional or required")
        if not is_known:
            known = sorted({*_TAKEN, *_OURS})
            raise ConfigurationError(f"{name} is no option of a Redis url; {did_you_mean(name, known)}")


def _parsed(parts: SplitResult, taken: Mapping[str, str]) -> dict[str, Any]:
    """redis-py's own parameters of a url that has only options which are taken."""
    try:
        # Not urlunsplit, which knows no scheme "unix" and leaves its "//" out.
        url = f"{parts.scheme}://{parts.netloc}{parts.path}?{urlencode(taken)}"
        parameters = dict(parse_url(url))  # type: ignore[no-untyped-call]
    except ValueError as error:
        # redis-py's message may quote the password, so only the name of an option is taken from it.
        named = re.search(r"'(\w+)'", str(error))
        if named and named[1] in taken:
            raise ConfigurationError(f"the value of {named[1]} in the Redis url cannot be used") from None
        raise _unreadable() from None
    parameters.pop("connection_class", None)
    return parameters


def _unreadable() -> ConfigurationError:
    return ConfigurationError(f"the Redis url cannot be read (it is not shown, as it may hold a password); {_USAGE}")
