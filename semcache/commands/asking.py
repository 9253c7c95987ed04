"""Asks a running ``semcache serve`` for what it tells operators, with the key that the settings have for it."""

import json
from collections.abc import Set
from http import HTTPStatus
from http.client import HTTPException, InvalidURL
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from semcache.causes import message_of, shown
from semcache.errors import ConfigurationError, InvalidInputError, RerankServiceError

if TYPE_CHECKING:
    from semcache.settings import Server

_PATIENCE_S = 10.0
_NO_SERVER = (
    "start one by `semcache serve`, or name another by {}. An application without a server cannot be asked; `semcache "
    "stats` shows what Redis knows of it"
)


def checked_url(url: str, option: str) -> str:
    """The base url of a server, without a slash at its end. Raises InvalidInputError that names the option."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # as for http://[::1
        is_url = False
    if not is_url:
        raise InvalidInputError(f"{option} is {url!r:.80}; it must be one such as http://localhost:8080")
    return url.rstrip("/")


def operator_key(server: "Server") -> str | None:
    """The first key of ``server.api_keys`` that is bound to no tenant; None without one."""
    from semcache.settings import tenants_and_keys

    given = [] if server.api_keys is None else tenants_and_keys(server.api_keys.get_secret_value())
    return next((key for tenant, key in given if tenant is None), None)


def ask(url: str, path: str, key: str | None, option: str, needed: Set[str]) -> dict[str, Any]:
    """The answer of the server at this url, which ``option`` named, at ``path``: an object with the ``needed`` names.

    Raises InvalidInputError for a url that no request can be sent to, RerankServiceError where no server of semcache
    answers, and ConfigurationError where it wants another key.
    """
    request = Request(f"{url}{path}")  # noqa: S310 - checked_url has let http and https through alone
    if key is not None:
        # To this server only: another that it redirects to is not sent the key.
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    try:
        with urlopen(request, timeout=_PATIENCE_S) as answer:  # noqa: S310
            told = json.load(answer)
    except HTTPError as error:
        raise _refused(url, error.code, option) from error
    except InvalidURL as error:
        raise InvalidInputError(
            f"{option} is {url!r:.80}: {message_of(error)}; give one such as http://localhost:8080"
        ) from error
    except (OSError, HTTPException, ValueError) as error:
        why = shown(str(getattr(error, "reason", error))) or type(error).__name__
        raise _none(url, f"does not answer as one ({why})", option) from error
    if not isinstance(told, dict) or not needed <= told.keys():
        raise _none(url, f"gave something else to {path}", option)
    return told


def _none(url: str, why: str, option: str, status: int | None = None) -> RerankServiceError:
    return RerankServiceError(f"no server of semcache at {url}: it {why}; {_NO_SERVER.format(option)}", status=status)


def _refused(url: str, status: int, option: str) -> Exception:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return ConfigurationError(
            f"the server at {url} shows its figures to keys that are bound to no tenant; put one of its "
            "server.api_keys into SEMCACHE_SERVER__API_KEYS"
        )
    return _none(url, f"answers with status {status}", option, status)
