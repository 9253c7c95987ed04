"""What a result was measured on: processor, memory, system, versions of everything that matters."""

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("redis-semcache", "redis", "hiredis", "redisvl", "numpy", "onnxruntime", "torch", "sentence-transformers")


def describe(client: Any = None) -> Mapping[str, Any]:
    """Flat names and values, for the head of a result file. ``client`` adds the server and its search module."""
    found = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "ram_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "commit": _commit(),
        **{name: _version(name) for name in _PACKAGES},
    }
    return {**found, **(_server(client) if client is not None else {})}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit that was measured, with a mark when files differ from it."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.stdout.strip()


def _server(client: Any) -> Mapping[str, Any]:
    modules = [_plain(module) for module in client.execute_command("MODULE", "LIST")]
    search = next((module["ver"] for module in modules if module.get("name") in ("search", "ReJSON|search")), None)
    return {"redis_server": client.info("server")["redis_version"], "redisearch": search}


def _plain(module: Any) -> Mapping[str, Any]:
    """One module of MODULE LIST: a mapping, or a flat list of names and values."""
    items = module.items() if isinstance(module, Mapping) else zip(module[::2], module[1::2], strict=True)
    return {_text(name): _text(value) for name, value in items}


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
