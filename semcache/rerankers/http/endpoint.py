"""The address of a rerank service, with its credentials apart."""

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from semcache.errors import ConfigurationError
from semcache.rerankers.http.dialects import Dialect

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go.

    ``url`` has no credentials; its query string may be secret, so ``shown`` is what errors say. ``login`` is the user
    and password of the url, None where it has none. ``place`` tells services apart: host, port unless it is the usual
    one, and path unless it is the dialect's.
    """

    url: str = field(repr=False)
    shown: str
    place: str
    login: tuple[str, str] | None = field(repr=False)
    is_own: bool
    """Whether it is the address of the dialect's hosted service."""

    @classmethod
    def of(cls, url: str | None, dialect: Dialect) -> Self:
        """The endpoint at a url: as it is, if it has a path, and else with the path of the dialect.

        None stands for the hosted service of the dialect. Raises ConfigurationError, which shows no credentials, for
        what is no http or https url, and for a dialect without a service of its own.
        """
        given = url or dialect.url
        if not given:
            raise ConfigurationError(
                f"dialect {dialect.name} has no hosted service; pass url, such as http://localhost:8080"
            )
        parts, port = _split(given)
        path = dialect.path if parts.path in ("", "/") else parts.path
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        place = f"{host}:{port}" if port not in (None, _DEFAULT_PORTS[parts.scheme]) else str(host)
        login = None
        if parts.username is not None or parts.password is not None:
            login = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(
            url=urlunsplit((parts.scheme, place, path, parts.query, "")),
            shown=urlunsplit((parts.scheme, place, path, "", "")),
            place=place + ("" if path == dialect.path else path),
            login=login,
            is_own=bool(dialect.url) and place == urlsplit(dialect.url).hostname and parts.scheme == "https",
        )


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url.strip())
        port = parts.port  # read here, since a port that is no number raises only now
    except ValueError:  # without the cause, which may show a password
        raise ConfigurationError("url cannot be read; it must look like https://host:port/path") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        # The value is not shown: what is no url may be a key in the wrong place.
        raise ConfigurationError(
            "url must begin with http:// or https:// and name a host, such as http://localhost:8080"
        )
    # An unescaped "/", "?" or "#" ends the login early, and what follows looks like a host or a path.
    if "@" in parts.path + parts.query or parts.fragment:
        raise ConfigurationError(
            "url has @ or # behind its host; percent-encode user and password, such as %2F for / and %40 for @"
        )
    return parts, port
