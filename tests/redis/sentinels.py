"""A primary, its replica, and three Sentinels that watch over them."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import redis

from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.server.files import find_server_files
from tests.redis.conftest import server_pid
from tests.scripted import PATIENCE_S

SERVICE, GONE = "cache", "gone"
"""What the Sentinels watch; the second has no servers any more."""
PASSWORD, SENTINEL_PASSWORD = "of-the-primary", "of-the-sentinels"
_SENTINELS = 3
_CONFIGURATION = """\
port {port}
bind 127.0.0.1
requirepass {of_sentinels}
sentinel sentinel-pass {of_sentinels}
sentinel monitor {service} 127.0.0.1 {primary} 2
sentinel auth-pass {service} {password}
sentinel down-after-milliseconds {service} 500
sentinel failover-timeout {service} 2000
sentinel monitor {gone} 127.0.0.1 1 2
sentinel down-after-milliseconds {gone} 100
"""


# Not that of pings: a replica that has not answered within five of them is not chosen, as on a busy machine.
_PERIODS_MS = ("INFO-PERIOD", 500, "PUBLISH-PERIOD", 200, "ASK-PERIOD", 200, "TILT-PERIOD", 1000)


class Trio:
    """``url`` names the Sentinels. Either of the two servers may be the primary."""

    def __init__(self, servers: list[EmbeddedRedis], stack: ExitStack, directory: Path) -> None:
        *ports, one, other = free_ports(_SENTINELS + 2)
        self.hosts = [("127.0.0.1", port) for port in ports]
        named = ",".join(f"127.0.0.1:{port}" for port in ports)
        self.url = f"redis+sentinel://:{PASSWORD}@{named}/{SERVICE}?sentinel_password={SENTINEL_PASSWORD}"
        self.servers = {one: servers[0], other: servers[1]}
        self.pids = {port: server_pid(server) for port, server in self.servers.items()}
        for port, server in self.servers.items():
            with redis.Redis.from_url(server.url) as client:
                client.config_set("port", port)
                client.config_set("repl-diskless-sync-delay", 0)
                client.config_set("masterauth", PASSWORD)
                client.config_set("requirepass", PASSWORD)
        self.follow(other, one)
        for port in ports:
            path = directory / f"{port}.conf"
            path.write_text(
                _CONFIGURATION.format(
                    port=port,
                    service=SERVICE,
                    gone=GONE,
                    primary=one,
                    password=PASSWORD,
                    of_sentinels=SENTINEL_PASSWORD,
                )
            )
            command = [str(find_server_files().server), str(path), "--sentinel", "--dir", str(directory)]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            self._hurry(("127.0.0.1", port))
        self.until_settled()

    def _hurry(self, host: tuple[str, int]) -> None:
        """Let a Sentinel look more often than every ten seconds, as its usual periods are too long for a test."""
        until = monotonic() + PATIENCE_S
        while True:
            with suppress(redis.ConnectionError), self._sentinel(host) as sentinel:
                sentinel.execute_command("SENTINEL", "DEBUG", *_PERIODS_MS)
                return
            assert monotonic() < until

    @property
    def primary(self) -> int:
        """The port of the primary, by the first Sentinel."""
        return int(self._watched(self.hosts[0])["port"])

    def until_settled(self) -> None:
        """Return when all Sentinels know each other, and the replica as one that can take over."""
        until = monotonic() + PATIENCE_S
        while not all(self._is_settled(host) for host in self.hosts):
            assert monotonic() < until, [self._watched(host) for host in self.hosts]

    def _is_settled(self, host: tuple[str, int]) -> bool:
        try:
            with self._sentinel(host) as sentinel:
                state = sentinel.sentinel_masters()[SERVICE]
                (replica,) = sentinel.sentinel_slaves(SERVICE)
        except (redis.ConnectionError, ValueError):  # it has not begun yet, or has not heard of the replica
            return False
        with self._sentinel(host) as sentinel:
            is_gone = sentinel.sentinel_masters()[GONE]["is_sdown"]
        is_whole = is_gone and state["num-other-sentinels"] == _SENTINELS - 1 and not state["is_sdown"]
        return bool(is_whole and replica["master-link-status"] == "ok" and not replica["is_sdown"])

    def until_replicated(self) -> None:
        """Return when the replica has all that was written so far."""
        with self.client(self.primary) as client:
            assert client.wait(1, int(1000 * PATIENCE_S)) == 1

    def fail_over(self) -> None:
        """Let the Sentinels choose the replica, as an operator does; the old primary is told at once."""
        old = self.primary
        with self._sentinel(self.hosts[0]) as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", SERVICE)
        new = self.until_primary_is_not(old)
        self.follow(old, new)

    def until_primary_is_not(self, old: int) -> int:
        """The port of the new primary, when all Sentinels know it."""
        until = monotonic() + PATIENCE_S
        while any((found := int(self._watched(host)["port"])) == old for host in self.hosts):
            assert monotonic() < until
        return found

    def follow(self, replica: int, primary: int) -> None:
        """Let one server follow the other, and return when it has the data."""
        with self.client(replica) as client:
            client.replicaof("127.0.0.1", str(primary))
            until = monotonic() + PATIENCE_S
            while client.info("replication")["master_link_status"] != "up":
                assert monotonic() < until

    @contextmanager
    def frozen(self, port: int) -> Iterator[None]:
        """Let a server hang: no connection to it breaks, and none is answered."""
        os.kill(self.pids[port], signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pids[port], signal.SIGCONT)

    def client(self, port: int) -> redis.Redis:
        """A bare client of one server."""
        return redis.Redis(port=port, password=PASSWORD, socket_timeout=PATIENCE_S)

    def _sentinel(self, host: tuple[str, int]) -> redis.Redis:
        return redis.Redis(*host, password=SENTINEL_PASSWORD, socket_timeout=PATIENCE_S, protocol=2)

    def _watched(self, host: tuple[str, int]) -> Any:
        with self._sentinel(host) as sentinel:
            return sentinel.sentinel_masters()[SERVICE]


@contextmanager
def trio() -> Iterator[Trio]:
    """Start all five; they end with the block."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        servers = [stack.enter_context(EmbeddedRedis()) for _ in range(2)]
        yield Trio(servers, stack, directory)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that no program listens on."""
    with ExitStack() as held:
        return [held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]
