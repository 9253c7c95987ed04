"""Bare limits: the same bytes over the same kind of connection, by redis-py alone."""

from collections.abc import Callable

import numpy as np
import redis

from benchmarks.library import KEYS
from benchmarks.workload import Workload
from semcache.redis.sizes import ef_for

Operation = Callable[[int], object]
Command = tuple[str | bytes | int, ...]


def ping(client: redis.Redis) -> Operation:
    """The shortest round trip."""
    return lambda at: client.ping()


def get(client: redis.Redis, workload: Workload) -> Operation:
    """GET of the scores of an entry: the bytes that an exact hit reads."""
    keys = score_keys(workload)
    return lambda at: client.get(keys[at % len(keys)])


def mget(client: redis.Redis, workload: Workload, count: int = 4) -> Operation:
    """MGET of the scores of several entries."""
    keys = score_keys(workload)
    return lambda at: client.mget([keys[(at + offset) % len(keys)] for offset in range(count)])


def search(client: redis.Redis, workload: Workload, kind: str, k: int = 4) -> Operation:
    """FT.SEARCH KNN k that returns keys and distances only; the command is made beforehand."""
    commands = knn_commands(workload, kind, k)
    return lambda at: client.execute_command(*commands[at % len(commands)])


def search_and_scores(client: redis.Redis, workload: Workload, kind: str, k: int = 4) -> Operation:
    """FT.SEARCH KNN k, then MGET of the scores of what was found."""
    commands = knn_commands(workload, kind, k)

    def operation(at: int) -> object:
        reply = client.execute_command(*commands[at % len(commands)])
        return client.mget([KEYS.plain.scores_beside(key) for key in reply[1::2]])

    return operation


def score_keys(workload: Workload) -> list[bytes]:
    """Keys of the scores of the entries that the exact probes find."""
    return [KEYS.scores("", text) for text in workload.probe_texts["exact"]]


def knn_commands(workload: Workload, kind: str, k: int) -> list[Command]:
    """One command per probe: vectors as float16 and as many candidates as semcache asks for."""
    query = f"*=>[KNN {k} @embedding $vector EF_RUNTIME {ef_for(workload.size)} AS distance]"
    rest = ("RETURN", 1, "distance", "SORTBY", "distance", "ASC", "DIALECT", 2, "LIMIT", 0, k, "PARAMS", 2, "vector")
    blobs = (probe.astype(np.float16).tobytes() for probe in workload.probes[kind])
    return [("FT.SEARCH", KEYS.plain.index, query, *rest, blob) for blob in blobs]
