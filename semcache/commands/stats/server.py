"""Asks a running ``semcache serve`` for its statistics."""

import json
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from semcache.errors import InvalidInputError, RerankServiceError
from semcache.settings import Settings, tenants_and_keys

_TIMEOUT_S = 5.0


def ask_server(url: str, settings: Settings) -> dict[str, Any]:
    """The answer of ``GET /stats``, with a key of ``server.api_keys`` that is bound to no tenant, if there is one.

    Raises InvalidInputError for what is no url of a server, RerankServiceError when it does not answer or refuses.
    """
    if not url.startswith(("http://", "https://")):
        raise InvalidInputError(f"--server {url!r:.80} is no URL; give one such as http://localhost:8080")
    headers = {"Accept": "application/json"}
    keys = settings.server.api_keys
    operators = (
        [] if keys is None else [key for tenant, key in tenants_and_keys(keys.get_secret_value()) if tenant is None]
    )
    if operators:
        headers["Authorization"] = f"Bearer {operators[0]}"
    request = Request(f"{url.rstrip('/')}/stats", headers=headers)  # noqa: S310 - its scheme was checked above
    try:
        with urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
            found = json.load(answer)
    except HTTPError as error:
        remedy = "set SEMCACHE_SERVER__API_KEYS as the server has it" if error.code in (401, 403) else "is it semcache?"
        raise RerankServiceError(f"{url} answered {error.code} to /stats; {remedy}") from error
    except (URLError, OSError) as error:
        raise RerankServiceError(
            f"no server answers at {url} ({getattr(error, 'reason', error)}); semcache serve starts one"
        ) from error
    except ValueError as error:
        raise RerankServiceError(f"{url} gave no JSON to /stats; is it semcache?") from error
    if not isinstance(found, dict) or not {"cache", "reranker"} <= found.keys():
        raise RerankServiceError(f"{url} gave something else than the statistics of semcache; name a semcache serve")
    return found
