"""Starts the nodes of a Redis Cluster on this machine and lets them form it."""

import secrets
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from semcache.causes import cause_of
from semcache.errors import EmbeddedRedisError
from semcache.redis.server.files import ServerFiles
from semcache.redis.server.process import Member, ServerProcess, client_of, launch_member, stop

if TYPE_CHECKING:  # importing redis-py takes longer than starting a server
    from redis import Redis

MOST_NODES = 30
"""Each takes 10 MB for itself and 10 MB for the process that watches over it."""
_SLOTS = 16384
_FORM_TIMEOUT_S = 30.0
"""Nodes hear of each other within a second, and a primary waits for two before it serves its slots."""


def launch_cluster(files: ServerFiles, nodes: int) -> tuple[ServerProcess, ...]:
    """Start so many servers that can become one cluster; they may not answer yet. Raises EmbeddedRedisError."""
    ports = _free_ports(2 * nodes)
    password = secrets.token_urlsafe(16)
    started: list[ServerProcess] = []
    try:
        for port, bus_port in zip(ports[:nodes], ports[nodes:], strict=True):
            started.append(launch_member(files, Member(port, bus_port, password)))
    except BaseException:  # also an interrupt: the servers that run already would run on
        stop(*started)
        raise
    return tuple(started)


def _free_ports(count: int) -> list[int]:
    # All are held until the last is found, so that they differ. A port that another program takes in the moment until
    # its server starts is an error that says so.
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_until_formed(nodes: Sequence[ServerProcess], shards: int) -> None:
    """Make a cluster of servers that answer; the first become the primaries of so many shards of equal size.

    Returns when every node serves and knows the place of all others. Raises EmbeddedRedisError when that does not come.
    """
    from redis import RedisError

    try:
        with ExitStack() as opened:
            clients = [opened.enter_context(client_of(node)) for node in nodes]
            ids = [_ask(client, "MYID") for client in clients]
            for at, client in enumerate(clients):
                _ask(client, "SET-CONFIG-EPOCH", at + 1)  # else the nodes have to settle whose slots count
                if at < shards:
                    _ask(client, "ADDSLOTSRANGE", _SLOTS * at // shards, _SLOTS * (at + 1) // shards - 1)
                # Each with each: news of a node by others would take its time.
                for member in (node.member for node in nodes[:at]):
                    if member is not None:
                        _ask(client, "MEET", "127.0.0.1", member.port, member.bus_port)
            _wait_for(lambda: all(len(_ask(client, "LINKS")) == 2 * (len(nodes) - 1) for client in clients))
            for at, client in enumerate(clients[shards:]):
                _ask(client, "REPLICATE", ids[at % shards])
            _wait_for(lambda: all(_is_complete(client, shards, len(nodes)) for client in clients))
    except (RedisError, TimeoutError) as error:
        printed = "\n".join(node.printed() for node in nodes if node.watcher.poll() is not None)
        raise EmbeddedRedisError(
            f"the embedded Redis Cluster did not form: {cause_of(error)}; {printed or 'its nodes run'}"
        ) from error


def _ask(client: "Redis", command: str, *arguments: object) -> Any:
    return client.execute_command("CLUSTER", command, *arguments)  # type: ignore[no-untyped-call]


def _wait_for(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _FORM_TIMEOUT_S
    while not is_done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it took more than {_FORM_TIMEOUT_S:g} s")
        time.sleep(0.02)


def _is_complete(client: "Redis", shards: int, nodes: int) -> bool:
    """Whether a node serves, knows the nodes of all shards, and has the data of its primary if it is a replica."""
    replication = client.info("replication")
    return (
        replication.get("master_link_status", "up") == "up"
        and b"cluster_state:ok" in _ask(client, "INFO")
        and len(ranges := _ask(client, "SLOTS")) == shards
        and sum(len(one) - 2 for one in ranges) == nodes
    )
