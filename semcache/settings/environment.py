"""Tells variables of ours from those that others put into the environment or into a ``.env`` file."""

import codecs
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values

from semcache.errors import ConfigurationError

# For every service of a namespace Kubernetes sets variables in each container, as Docker's links did, e.g. for one
# called semcache or semcache-redis: https://kubernetes.io/docs/concepts/services-networking/service
_SERVICE = re.compile(
    r"SEMCACHE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://.+")


def is_of_a_service(name: str, text: str) -> bool:
    """True for a variable that describes a service of Kubernetes and is no setting.

    Example:
        >>> is_of_a_service("SEMCACHE_SERVICE_HOST", "10.0.0.11"), is_of_a_service("SEMCACHE_PORT", "tcp://10.0.0.11:80")
        (True, True)
        >>> is_of_a_service("SEMCACHE_PORT", "6379")  # written by hand, and without effect: that must be said
        False
    """
    if _SERVICE.fullmatch(name):
        return True
    return name.endswith("_PORT") and _SERVICE_URL.fullmatch(text) is not None


def read_dotenv(path: Path) -> Mapping[str, str]:
    """The variables with a value in a ``.env`` file; none if there is no such file.

    The file belongs to the application. So one that is in another encoding than UTF-8 is no error, unless a variable of
    ours is in it; then ConfigurationError names it, as it does for a file that cannot be opened.
    """
    try:
        # Only regular files: to read a pipe could wait for ever, and would take from the application what is in it.
        if not path.is_file():
            return {}
    except OSError:  # a folder that may not be searched, such as /root for a process that gave up its rights
        return {}
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path.absolute()}: {error.strerror}; make it readable, or start in another folder"
        ) from error
    # PowerShell writes UTF-16, always with a byte order mark.
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if b"SEMCACHE_" not in content.replace(b"\0", b"").upper():  # letters of UTF-16 are two bytes
            return {}
        raise ConfigurationError(
            f"{path.absolute()} sets variables of semcache, but is no valid {encoding.removesuffix('-sig').upper()} "
            f"(byte {error.start}); save it as UTF-8"
        ) from error
    return {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value is not None}
