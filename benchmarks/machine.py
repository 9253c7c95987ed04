"""The machine and the versions that a result was measured with."""

import os
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from semcache.commands.bench.machine import describe_machine
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.server_info import server_info

_PACKAGES = ("redis-semcache", "redis", "hiredis", "redisvl", "numpy", "onnxruntime", "torch", "sentence-transformers")


def describe(url: str | None = None) -> Mapping[str, Any]:
    """Flat names and values, for the head of a result file. ``url`` adds the server and its search module."""
    found: dict[str, Any] = {
        **describe_machine(),
        "ram_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "commit": _commit(),
    }
    for package in _PACKAGES:
        # Some are optional: a result without torch says so.
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    if url is not None:
        with RedisConnection(url, timeout_s=10) as connection:
            info = server_info(connection)
        found |= {"redis_server": info.version, "redisearch": info.search_version}
    return found


def _commit() -> str | None:
    """The commit that was measured, marked "-dirty" when files differ from it; None outside a repository."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
