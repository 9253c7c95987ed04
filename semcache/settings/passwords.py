"""Shows settings that may hold a password without it."""

import re
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

HIDDEN = "***"

_USUAL_PATHS = {
    "unix": r"/[\w./-]+",
    **dict.fromkeys(("redis", "rediss"), r"/?[0-9]*/?"),
    **dict.fromkeys(("http", "https"), r"[\w./-]*"),
}


def hidden(secret: SecretStr | str) -> str:
    """Of a url its scheme, host, port and path, which for Redis is a database or a socket; ``***`` for other secrets.

    Example:
        >>> hidden("redis://me:secret@host:6379/0")
        'redis://host:6379/0'
    """
    url = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
    if url == "embedded":
        return url
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return HIDDEN
    host, behind_login = parts.hostname or "", parts.netloc.rpartition("@")[2]
    # An unescaped "/", "?" or "#" in a password ends the login early, and what follows looks like a host or a path. So
    # nothing is shown of a url that has anything unusual after its login.
    path = _USUAL_PATHS.get(parts.scheme)
    if path is None or parts.fragment or "@" in parts.query or not re.fullmatch(path, parts.path):
        return HIDDEN
    if not re.fullmatch(r"[\w.-]*|[0-9a-f:.]+", host):
        return HIDDEN
    if bool(host) == (parts.scheme == "unix") or (not host and behind_login):
        return HIDDEN
    database = dict(parse_qsl(parts.query)).get("db", "")
    behind_host = parts.path or (f"/{database}" if database.isdecimal() else "")
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{behind_host}"
