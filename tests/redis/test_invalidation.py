"""Forgetting, with a server that a test speaks for: what it is asked in one round trip."""

from typing import Any

import pytest

from semcache.entries import codec
from semcache.flow.drive import drive
from semcache.redis.invalidation import clear, forget
from semcache.redis.operation import StoreState
from tests.redis.conftest import LAYOUT, fingerprint

DOCUMENT = fingerprint(1)


class Server:
    """Has one page of keys. ``unlinked`` are the keys of each UNLINK, ``rewritten`` the entries of each round trip."""

    def __init__(self, keys: list[bytes]) -> None:
        self.keys = keys
        self.unlinked: list[int] = []
        self.rewritten: list[int] = []

    def execute(self, step: Any) -> list[Any]:
        names = [command[0] for command in step]
        if names[0] == "EVALSHA" and step[0][2] == 2:
            self.rewritten.append(len(names))
        return [self._reply(command) for command in step]

    def _reply(self, command: Any) -> Any:
        match command[0]:
            case "SCAN":
                return [b"0", self.keys]
            case "UNLINK":
                self.unlinked.append(len(command) - 1)
                return len(command) - 1
            case "EVALSHA":
                # An entry of this document alone, or the removal of one.
                return 1 if command[2] == 2 else codec.pack(command[3], [(DOCUMENT, 1.0)])
        return b"OK"


@pytest.fixture
def state() -> StoreState:
    return StoreState.of("here", **LAYOUT)


def keys_of(state: StoreState, count: int) -> tuple[list[bytes], list[bytes]]:
    keys = state.layout.keys
    queries = [str(number) for number in range(count)]
    return [keys.scores("t", query) for query in queries], [keys.vector("t", query) for query in queries]


def test_few_vectors_are_taken_out_of_an_index_at_once(state: StoreState) -> None:
    # A server that removes a page of them answers nothing else for longer than a command may take.
    scores, hashes = keys_of(state, 50)
    server = Server([*scores, *hashes])
    assert drive(forget(state, "t"), server.execute) == 50
    assert server.unlinked == [50, *[10] * 5]


def test_more_of_an_index_that_was_dropped(state: StoreState) -> None:
    scores, hashes = keys_of(state, 150)
    server = Server([*scores, *hashes])
    assert drive(clear(state), server.execute) == 150
    assert server.unlinked == [150, 100, 50]


def test_entries_that_lose_their_only_document_take_few_vectors_along(state: StoreState) -> None:
    server = Server(keys_of(state, 25)[0])
    assert drive(forget(state, document=DOCUMENT), server.execute) == 25
    assert server.rewritten == [10, 10, 5]


def test_keys_of_other_tenants_and_kinds_that_fit_the_pattern_stay(state: StoreState) -> None:
    keys = state.layout.keys
    others = [keys.vector("u", "q"), keys.vector("", "q"), keys.lease("t", "q", "l"), keys.document_counts]
    assert drive(forget(state, "t"), (server := Server(others)).execute) == 0
    assert drive(forget(state, document=DOCUMENT), server.execute) == 0
    assert server.unlinked == []
