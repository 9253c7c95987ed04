"""Writes entries and adds scores to them."""

from collections.abc import Iterator, Sequence

from semcache.entries import codec
from semcache.entries.entry import NewScores
from semcache.entries.fingerprint import tenant_tag
from semcache.redis.client.scripts import Command, script
from semcache.redis.ensure import ensure_index
from semcache.redis.operation import Operation, Setup, run_script


def remember(setup: Setup, tenant: str, new: NewScores, ttl_s: float | None) -> Operation[bool]:
    (is_stored,) = yield from remember_many(setup, tenant, (new,), ttl_s)
    return is_stored


def remember_many(setup: Setup, tenant: str, new: Sequence[NewScores], ttl_s: float | None) -> Operation[list[bool]]:
    calls = [_remember(setup, tenant, one, ttl_s) for one in new if one.scores]
    if calls:
        # Before the first write, so that the server need not go through all keys to index it afterwards.
        yield from ensure_index(setup, tenant)
        replies = iter((yield from run_script(setup, "remember", calls)))
    return [bool(one.scores) and next(replies) == 1 for one in new]


def _remember(setup: Setup, tenant: str, new: NewScores, ttl_s: float | None) -> Command:
    return script("remember").by_digest(
        (setup.keys.vector(tenant, new.query), setup.keys.scores(tenant, new.query)),
        codec.pack(new.scores[: setup.max_scores]),
        codec.VERSION,
        int(setup.listwise),
        setup.max_scores * codec.RECORD_BYTES,
        setup.lifetime.milliseconds(ttl_s, setup.rng),
        *_fields(setup, tenant, new),
    )


def _fields(setup: Setup, tenant: str, new: NewScores) -> Iterator[bytes]:
    """Names and values of the hash, alternating; none without a vector."""
    if new.vector is None:
        return
    yield from (b"embedding", setup.vectors.pack(new.vector), b"created_at", repr(setup.clock()).encode())
    if tenant:
        yield from (b"tenant", tenant_tag(tenant).encode())
    if new.cues:
        yield from (b"cues", new.cues)
    if setup.store_queries:
        yield from (b"query", new.query.encode("utf-8", "surrogatepass"))
