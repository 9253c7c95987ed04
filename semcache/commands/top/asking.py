"""Asks a running server for its figures."""

import json
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from semcache.errors import ConfigurationError, InvalidInputError, RerankServiceError

_PATIENCE_S = 10.0
_NO_SERVER = (
    "start one by `semcache serve`, or name another by --url. An application without a server is not watched by this "
    "command; `semcache stats` shows what Redis knows of it"
)


def checked_url(url: str) -> str:
    """The base url of a server, without a slash at its end. Raises InvalidInputError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInputError(f"--url is {url!r}; it must be one such as http://localhost:8080")
    return url.rstrip("/")


def ask(url: str, window: str, key: str | None) -> dict[str, Any]:
    """The figures of the server at this url.

    Raises RerankServiceError where it does not answer, and ConfigurationError where it wants another key.
    """
    request = Request(f"{url}/live?window={window}")  # noqa: S310 - checked_url has let http and https through alone
    if key is not None:
        # To this server only: another that it redirects to is not sent the key.
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    try:
        with urlopen(request, timeout=_PATIENCE_S) as answer:  # noqa: S310
            told: dict[str, Any] = json.load(answer)
    except HTTPError as error:
        raise _refused(url, error.code) from error
    except (URLError, OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        raise RerankServiceError(f"no server of semcache answers at {url} ({why}); {_NO_SERVER}") from error
    return told


def _refused(url: str, status: int) -> Exception:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return ConfigurationError(
            f"the server at {url} shows its figures to keys that are bound to no tenant; put one of its "
            "server.api_keys into SEMCACHE_SERVER__API_KEYS"
        )
    return RerankServiceError(f"the server at {url} has no figures (status {status}); {_NO_SERVER}", status=status)
