"""The key of a service, from an argument or an environment variable, never shown."""

import os

from pydantic import SecretStr

from semcache.errors import ConfigurationError
from semcache.rerankers.http.dialects import Dialect
from semcache.rerankers.http.endpoint import Endpoint


def key_of(
    api_key: str | SecretStr | None, api_key_variable: str | None, dialect: Dialect, endpoint: Endpoint
) -> SecretStr | None:
    """The key that was given, or that an environment variable holds; None for a service that is asked without one.

    Without either it is in the variable that the service's own clients read; but only for the hosted service itself, so
    that no other host is ever shown it. Raises ConfigurationError for a variable that is not set, for a key that no
    header can hold, and for a hosted service without a key.
    """
    if api_key is not None and api_key_variable is not None:
        raise ConfigurationError("both api_key and api_key_variable are given; keep one of them")
    variable = api_key_variable or (dialect.key_variable if endpoint.is_own else "")
    if isinstance(api_key, SecretStr):
        api_key = api_key.get_secret_value()
    key = (os.environ.get(variable, "") if api_key is None else api_key).strip()
    if not key:
        if api_key_variable is not None:
            raise ConfigurationError(f"the environment variable {api_key_variable} (api_key_variable) is not set")
        if api_key is not None:
            raise ConfigurationError("api_key is empty; pass the key, or None for a service without one")
        if variable and endpoint.login is None:
            raise ConfigurationError(f"{dialect.url} needs a key; pass api_key, or set {variable}")
        return None
    if endpoint.login is not None:
        raise ConfigurationError("url holds a login and there is an api_key, too; a request can send one of them")
    return SecretStr(sendable(key, "api_key"))


def sendable(text: str, what: str) -> str:
    """The text, which a header can hold. Raises ConfigurationError, which does not show it, if that is not so."""
    if not text.isascii() or not text.isprintable():
        raise ConfigurationError(f"{what} has characters that no header can hold, such as a line break; copy it anew")
    return text
