"""What is read of a cluster besides its slots: indexes that are there, and whether a coordinator is."""

import socket
import socketserver
from collections.abc import Iterator, Sequence
from threading import Thread
from typing import Any

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, ResponseError

from semcache.errors import StoreError, StoreTooSlowError, StoreUnavailableError
from semcache.events import Event, ShardUnavailable
from semcache.redis.client.commands import Command
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.url import address_of_url
from semcache.redis.cluster.discovery import Discovery
from semcache.redis.cluster.topology import Node, slot_of, tag_of_slot
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.runtime.budget import TimeBudget

UNKNOWN = ResponseError("unknown command 'SEARCH.CLUSTERINFO', with args beginning with: ")


class Stub:
    """A node that says what a test wants it to."""

    def __init__(self, listed: Any, info: Any) -> None:
        self.replies = [listed, info]

    def exchange(self, commands: Sequence[Command], left_s: float | None = None) -> list[Any]:
        assert [command[0] for command in commands] == ["FT._LIST", "SEARCH.CLUSTERINFO"]
        if isinstance(self.replies[0], RedisConnectionError):
            raise self.replies[0]
        return self.replies


def discovery(cluster: EmbeddedRedis, listed: Any, info: Any) -> tuple[Discovery, Stub]:
    stub = Stub(listed, info)
    address = address_of_url(cluster.url)
    return Discovery(address, address.where, 5, lambda node: stub), stub


def test_a_coordinator_is_there_if_its_command_is_known(cluster: EmbeddedRedis) -> None:
    """The packaged module has none, so nodes are stand-ins here; a real one was never seen."""
    assert not discovery(cluster, [], UNKNOWN)[0].read().has_coordinator
    assert discovery(cluster, [], [b"num_partitions", 3])[0].read().has_coordinator
    assert discovery(cluster, [], NoPermissionError("no permissions"))[0].read().has_coordinator


def test_all_shards_take_the_tags_of_indexes_that_are_there(cluster: EmbeddedRedis) -> None:
    listed = [f"semcache:a:{{{tag_of_slot(slot)}}}".encode() for slot in (100, 8000, 12000)] + [b"other:{5}"]
    topology = discovery(cluster, listed, UNKNOWN)[0].read()
    assert sorted(slot_of(tag) for tag in topology.tags.values()) == [100, 8000, 12000]
    assert all(topology.owner(topology.index_on(node, "i")) == node for node in topology.tags)


def test_without_the_right_to_list_them_all_processes_still_agree(cluster: EmbeddedRedis) -> None:
    topology = discovery(cluster, NoPermissionError("no permissions"), UNKNOWN)[0].read()
    assert sorted(slot_of(tag) for tag in topology.tags.values()) == [5460, 10921, 16383]


def test_a_node_that_was_away_is_asked_once_more(cluster: EmbeddedRedis) -> None:
    found, stub = discovery(cluster, RedisConnectionError("away"), UNKNOWN)
    before = found.read()
    stub.replies[0] = [b"semcache:a:{%b}" % tag_of_slot(100).encode()]
    # Its tag stays, since the slot is its own and other processes guessed the same.
    assert found.read(before) is before
    assert found.read(before).tags == before.tags


def test_nothing_changed_is_the_same_topology(cluster: EmbeddedRedis) -> None:
    found, _ = discovery(cluster, [], UNKNOWN)
    before = found.read()
    assert found.read(before) is before


def test_a_cluster_that_cannot_be_reached_is_away() -> None:
    address = address_of_url("redis://127.0.0.1:1")
    nowhere = Discovery(address, address.where, 1, lambda node: Stub([], UNKNOWN))
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        nowhere.read()


def test_a_url_of_several_hosts_needs_one_that_answers(cluster: EmbeddedRedis) -> None:
    login, _, address = cluster.url.rpartition("@")
    events: list[Event] = []
    url = f"{login}@127.0.0.1:1,{address}"
    with RedisConnection(url, timeout_s=5, connect_timeout_s=5, on_event=events.append) as connection:
        assert len(connection.nodes) == 3
        assert [(type(event), event.node) for event in events] == [(ShardUnavailable, "127.0.0.1:1")]
        assert connection.topology is not None
        assert Node("127.0.0.1", int(address.rpartition(":")[2])) in connection.topology.tags
    with (
        RedisConnection("redis://127.0.0.1:1,127.0.0.1:2") as connection,
        pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:2 cannot be reached"),
    ):
        connection.execute([("GET", "k")])


class HalfANode(socketserver.BaseRequestHandler):
    """Says that it is a node of a cluster, and nothing of its topology."""

    def handle(self) -> None:
        while received := self.request.recv(4096):
            self.request.sendall(b"+OK\r\n" * received.count(b"SETINFO"))
            if b"HELLO" in received:
                self.request.sendall(b"*2\r\n$4\r\nmode\r\n$7\r\ncluster\r\n")


@pytest.fixture
def half_a_node() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), HalfANode) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


async def test_the_first_request_waits_for_the_topology_no_longer_than_it_may(half_a_node: int) -> None:
    async with RedisConnection(f"redis://127.0.0.1:{half_a_node}", timeout_s=0.05) as connection:
        with TimeBudget(0.05) as budget, pytest.raises(StoreTooSlowError, match="the topology of the Redis at"):
            connection.execute([("GET", "k")])
        assert budget.left_s <= 0
        with TimeBudget(0.05), pytest.raises(StoreTooSlowError, match="the topology of the Redis at"):
            await connection.aexecute([("GET", "k")])


def test_several_hosts_must_be_of_a_cluster(own_server: EmbeddedRedis) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with redis.Redis.from_url(own_server.url) as admin:
        admin.config_set("port", port)
    with (
        RedisConnection(f"redis://127.0.0.1:{port},127.0.0.1:1", timeout_s=5) as connection,
        pytest.raises(StoreError, match=r"names 2 hosts, .* and .* is none; name one host"),
    ):
        connection.execute([("GET", "k")])
