"""Entries of the format of today, as they lie in Redis: ``python -m tests.redis.stored`` writes them to a file.

The file is written once for each format, and never again: later code has to read it as it is.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis

from semcache.entries.checks import VERSION
from semcache.redis.client.connection import RedisConnection
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import RedisStore
from tests.redis.conftest import LAYOUT, fingerprint, near, vector

NAMESPACE = "stored"
SECRET = "a secret of sixteen characters"
QUERY, TENANT = "how far is the moon", "acme"
SCORES = {fingerprint(1): 1.5, fingerprint(2): -2.25, fingerprint(3): 0.0}
VECTOR, NEAR = vector(1), near(vector(1), 0.99)
CUES = bytes(range(6))
VARIANTS: Mapping[str, dict[str, Any]] = {
    "plain": {},
    "signed": {"signing_key": SECRET},
    "float32 with texts": {"reranker": "other", "vector_type": "float32", "store_queries": True},
}


def options_of(variant: str) -> dict[str, Any]:
    """Options of the store that wrote these entries."""
    return {**LAYOUT, "namespace": NAMESPACE, **VARIANTS[variant]}


def path_of(version: bytes) -> Path:
    """The file of a format."""
    return Path(__file__).with_name(f"stored_{version.hex()}.json")


def load(client: redis.Redis, version: bytes) -> None:
    """Put the entries of a format into a server."""
    for key, value in json.loads(path_of(version).read_text()).items():
        if isinstance(value, str):
            client.set(key, b64decode(value))
        else:
            client.hset(key, mapping={name: b64decode(one) for name, one in value.items()})


def _write() -> None:
    with EmbeddedRedis() as server, RedisConnection(server.url, timeout_s=5) as connection:
        for variant in VARIANTS:
            store = RedisStore(connection, **options_of(variant))
            for tenant in ("", TENANT):
                store.remember(tenant, QUERY, VECTOR, list(SCORES.items())[:2], cues=CUES)
                store.remember(tenant, QUERY, None, list(SCORES.items())[2:])
        with redis.Redis.from_url(server.url) as client:
            dumped = {key.decode(): _value(client, key) for key in sorted(client.keys("semcache:*"))}
    path_of(VERSION).write_text(json.dumps(dumped, indent=1) + "\n")


def _value(client: redis.Redis, key: bytes) -> str | dict[str, str]:
    if client.type(key) == b"string":
        return b64encode(client.get(key)).decode()
    return {name.decode(): b64encode(value).decode() for name, value in client.hgetall(key).items()}


if __name__ == "__main__":
    _write()
