"""The quality state on a real server: shared, lasting, bounded."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from semcache.errors import StoreUnavailableError
from semcache.quality.statistics import EXACT, Observation
from semcache.quality.trust import NEVER, Trust
from semcache.redis.client.connection import RedisConnection
from semcache.redis.quality_state import QualityStore

FRESH = np.linspace(5, -5, 20)
SAME = Observation("0.98", FRESH + 0.1, FRESH)
UPSIDE_DOWN = Observation(EXACT, -FRESH, FRESH)


@pytest.fixture
def connection(redis_url: str) -> Iterator[RedisConnection]:
    with RedisConnection(redis_url) as connection:
        yield connection


@pytest.fixture
def store(connection: RedisConnection, namespace: str) -> QualityStore:
    return QualityStore(connection, namespace, "model", "words")


def test_nothing_seen_is_full_trust(store: QualityStore) -> None:
    state = store.read()
    assert (state.trust, state.statistics, state.changes) == (Trust(), {}, 0)


def test_processes_add_to_one_state_and_read_it_after_a_restart(
    store: QualityStore, redis_url: str, namespace: str
) -> None:
    with RedisConnection(redis_url) as elsewhere:
        other = QualityStore(elsewhere, namespace, "model", "words")
        assert store.add([SAME, SAME]) is None
        state = other.add([SAME, UPSIDE_DOWN], read=True)
    assert {band: seen.losses.sum() for band, seen in state.statistics.items()} == {"0.98": 3, EXACT: 1}
    again = store.read().statistics
    assert again[EXACT].loss == pytest.approx(1, abs=0.4)
    assert again["0.98"].summary()["drift"] == pytest.approx(0.1)
    assert again["0.98"].summary()["overlap"] == 1


def test_scopes_do_not_mix(store: QualityStore, connection: RedisConnection, namespace: str) -> None:
    store.add([SAME])
    for names in (("other", "model", "words"), (namespace, "other", "words"), (namespace, "model", "other")):
        assert QualityStore(connection, *names).read().statistics == {}


def test_fields_that_are_no_numbers_count_as_missing(store: QualityStore, connection: RedisConnection) -> None:
    for name, value in (("near", "nan"), ("changes", "1e999"), ("high:r3", "x"), ("high:loss", b"\xff")):
        connection.client.hset(store.key, name, value)
    state = store.read()
    assert (state.trust.near, state.changes) == (0.0, 0)


@pytest.mark.parametrize("damaged", ["x", "inf", ""])
def test_what_is_damaged_does_not_keep_the_rest_from_being_counted(
    store: QualityStore, connection: RedisConnection, damaged: str
) -> None:
    store.add([SAME])
    for name in (*connection.client.hkeys(store.key), "0.98:o7"):
        connection.client.hset(store.key, name, damaged)
    store.add([SAME] * 63)
    seen = store.add([SAME], read=True)
    assert seen is not None
    assert (seen.statistics["0.98"].recent.sum(), seen.statistics["0.98"].older.sum()) == (0, 64)


def test_one_round_trip_per_call(store: QualityStore, connection: RedisConnection) -> None:
    store.add([SAME])
    calls = connection.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    store.add([SAME, UPSIDE_DOWN], read=True)
    after = connection.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert after - calls == 1


def test_a_script_that_the_server_forgot_is_sent_again(store: QualityStore, connection: RedisConnection) -> None:
    connection.client.script_flush()
    assert store.add([SAME], read=True).statistics["0.98"].losses.sum() == 1


def test_recent_observations_become_older_ones(store: QualityStore) -> None:
    store.add([SAME] * 63)
    state = store.add([SAME], read=True)
    seen = state.statistics["0.98"]
    assert (seen.recent.sum(), seen.older.sum()) == (0, 64)
    seen = store.add([SAME], read=True).statistics["0.98"]
    assert (seen.recent.sum(), seen.older.sum()) == (1, 64)


def test_what_is_long_past_is_forgotten_by_halves(store: QualityStore) -> None:
    for _ in range(65):
        state = store.add([SAME] * 64, read=True)
    seen = state.statistics["0.98"]
    assert seen.losses.sum() == 65 * 64 / 2
    assert seen.summary()["overlap"] == pytest.approx(1)
    assert seen.summary()["drift"] == pytest.approx(0.1)


def test_withdrawing_starts_anew_and_relaxing_goes_on(store: QualityStore) -> None:
    state = store.add([UPSIDE_DOWN] * 5 + [SAME] * 5, read=True)
    withdrawn = Trust(NEVER, exact=False, reason="why", is_cleared=False)
    state = store.change(state, withdrawn)
    assert (state.trust, state.statistics, state.changes) == (withdrawn, {}, 1)
    state = store.add([SAME], read=True)
    relaxed = Trust(0.98, reason="because", is_cleared=True)
    state = store.change(state, relaxed)
    assert (state.trust, state.changes, set(state.statistics)) == (relaxed, 2, {"0.98"})


def test_only_the_first_of_two_decisions_counts(store: QualityStore) -> None:
    state = store.read()
    first = store.change(state, Trust(0.98, reason="first"))
    second = store.change(state, Trust(NEVER, reason="second"))
    assert first.trust == second.trust == Trust(0.98, reason="first")
    assert second.changes == 1


def test_an_unused_scope_is_forgotten_after_a_month(store: QualityStore, connection: RedisConnection) -> None:
    store.add([SAME])
    assert 29 < connection.client.pttl(store.key) / 86_400_000 <= 30
    store.change(store.read(), Trust(NEVER))
    assert 29 < connection.client.pttl(store.key) / 86_400_000 <= 30


def test_a_redis_that_is_away_is_an_error(namespace: str) -> None:
    with RedisConnection("redis://localhost:1") as nowhere, pytest.raises(StoreUnavailableError):
        QualityStore(nowhere, namespace, "model", "words").read()


def test_groups_of_tenants_are_kept_apart_and_pooled(store: QualityStore) -> None:
    store.add([SAME, replace(SAME, tenants="3"), replace(SAME, tenants="f")])
    state = store.add([replace(UPSIDE_DOWN, tenants="f")], read=True)
    assert state is not None
    counts = {
        tenants: {band: seen.losses.sum() for band, seen in bands.items()}
        for tenants, bands in state.by_tenants.items()
    }
    assert counts == {"": {"0.98": 1}, "3": {"0.98": 1}, "f": {"0.98": 1, EXACT: 1}}
    assert {band: seen.losses.sum() for band, seen in state.statistics.items()} == {"0.98": 3, EXACT: 1}


def test_observations_of_all_tenants_become_older_together(store: QualityStore) -> None:
    """As many recent ones as before count, however many tenants there are."""
    state = store.add([replace(SAME, tenants=f"{number % 16:x}") for number in range(64)], read=True)
    assert state is not None
    assert state.statistics["0.98"].recent.sum() == 0
    assert state.statistics["0.98"].older.sum() == 64


@pytest.mark.parametrize("tenants", ["", "3"])
def test_withdrawing_for_a_group_of_tenants_starts_its_counting_anew(store: QualityStore, tenants: str) -> None:
    state = store.add([replace(SAME, tenants=name) for name in ("", "3", "33")], read=True)
    assert state is not None
    state = store.change(state, Trust(NEVER, reason="costs"), tenants)
    assert set(state.by_tenants) == {"", "3", "33"} - {tenants}
    assert (state.trust, state.own) == (Trust(), {tenants: Trust(NEVER, reason="costs")})
    assert store.read().own == state.own
    assert (state.trust_of(tenants).near, state.trust_of("33"), state.trust_of(None)) == (NEVER, Trust(), Trust())


def test_withdrawing_for_all_forgets_what_groups_had_of_their_own(store: QualityStore) -> None:
    state = store.change(store.read(), Trust(low=0.95), "3")
    state = store.change(state, Trust(0.98, reason="costs"))
    assert (state.own, state.trust_of("3").near) == ({}, 0.98)
