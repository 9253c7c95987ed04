"""Faults of the server as a whole."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from threading import Thread
from time import monotonic

import redis

from tests.faults.fault import AWAY, LONG_S, Fault, Strike
from tests.faults.world import World
from tests.redis.conftest import wait_for_end

_FAILED = ("CacheUnavailable", "CacheFailed")
_PATIENCE_S = 10.0


def _kill(world: World) -> None:
    world.stop_server(signal.SIGKILL)
    wait_for_end(world.pid)


def _revive(world: World) -> None:
    # The directory of its socket goes with the server's watcher, a moment after it.
    until = monotonic() + _PATIENCE_S
    while not world.server.revive():
        assert monotonic() < until
    world.admin.connection_pool.disconnect()
    world.admin = world.later.enter_context(redis.Redis.from_url(world.server.url, single_connection_client=True))


def _fill(world: World) -> None:
    world.admin.config_set("maxmemory-policy", "noeviction")
    world.admin.config_set("maxmemory", world.admin.info("memory")["used_memory"])


def _evict(world: World) -> None:
    """Most of what is stored goes, and then whatever was not used lately."""
    world.admin.config_set("maxmemory-policy", "allkeys-lru")
    world.admin.config_set("maxmemory", world.admin.info("memory")["used_memory"] + 100_000)
    number = iter(range(10**9))
    world.again_and_again(lambda client: client.set(f"of others {next(number) % 500}", os.urandom(4000)), 0.002)


def _empty_others(world: World) -> None:
    world.later.close()
    world.admin.config_set("maxmemory", 0)


def _follow_no_server(world: World) -> None:
    world.admin.execute_command("REPLICAOF", "127.0.0.1", "1")


def _lead(world: World) -> None:
    world.admin.execute_command("REPLICAOF", "NO", "ONE")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _have_replica(world: World) -> None:
    """A replica that has everything, and gets every write."""
    port = _free_port()
    world.admin.config_set("port", port)
    world.admin.config_set("repl-diskless-sync-delay", 0)
    replica = world.start_other()
    replica.execute_command("REPLICAOF", "127.0.0.1", str(port))
    until = monotonic() + _PATIENCE_S
    while replica.info("replication")["master_link_status"] != "up":
        assert monotonic() < until


def _fail_over(world: World) -> None:
    """The primary dies, and its address leads to the replica, which is not promoted yet."""
    assert world.other is not None
    world.proxy.change(upstream=world.other.url.removeprefix("unix://"))
    _kill(world)


def _promote(world: World) -> None:
    assert world.other is not None
    world.admin = world.later.enter_context(redis.Redis.from_url(world.other.url, single_connection_client=True))
    _lead(world)


def _have_much_to_load(world: World) -> None:
    """Another server with entries, of which ours will become a replica."""
    other = world.start_other()
    other.config_set("repl-diskless-sync-delay", 0)
    other.config_set("port", _free_port())
    with other.pipeline() as pipeline:
        for number in range(2000):
            pipeline.set(f"of others {number}", os.urandom(500))
        pipeline.execute()


def _load(world: World) -> None:
    """The server throws its data away and loads those of another one, slowly: it answers LOADING."""
    assert world.other is not None
    world.admin.config_set("key-load-delay", 5000)
    world.admin.config_set("loading-process-events-interval-bytes", 1024)
    with redis.Redis.from_url(world.other.url) as other:
        port = other.config_get("port")["port"]
    world.admin.execute_command("REPLICAOF", "127.0.0.1", str(port))


def _be_loaded(world: World) -> None:
    world.admin.config_set("key-load-delay", 0)
    until = monotonic() + _PATIENCE_S
    while monotonic() < until:
        with contextlib.suppress(redis.BusyLoadingError):
            _lead(world)
            return


def _hold_up(world: World) -> None:
    """A script of another program that never ends."""
    world.admin.config_set("busy-reply-threshold", 50)

    def spin() -> None:
        client = redis.Redis.from_url(world.server.url, socket_timeout=60)
        with client, contextlib.suppress(redis.RedisError):  # killed at last
            client.eval("while true do end", 0)

    thread = Thread(target=spin, daemon=True)
    thread.start()
    world.later.callback(thread.join)


def _kill_script(world: World) -> None:
    world.admin.execute_command("SCRIPT", "KILL")
    world.later.close()


def _change_password(world: World) -> None:
    """As after a restart with another configuration."""
    world.admin.config_set("requirepass", "another")
    world.end_connections()


def _allow_few(world: World) -> None:
    world.admin.config_set("maxclients", 1)
    world.end_connections()


def _acl(*rules: str) -> Strike:
    return lambda world: world.admin.execute_command("ACL", "SETUSER", "default", *rules)


def _set(name: str, value: object) -> Strike:
    return lambda world: world.admin.config_set(name, value)


def _stop(world: World) -> None:
    world.stop_server(signal.SIGSTOP)


def _flush_scripts(world: World) -> None:
    world.again_and_again(lambda client: client.script_flush(), 0.02)


def _leave_alone(world: World) -> None:
    world.later.close()


def server_faults() -> Iterator[Fault]:
    """All of them."""
    of = "server"
    no_expiry, no_search, all_rights = _acl("-pexpire", "-expire", "-expireat"), _acl("-ft.search"), _acl("+@all")
    yield Fault("killed", of, _kill, tells=AWAY, heals=False)
    yield Fault("killed, and started again without data", of, _kill, _revive, tells=_FAILED)
    yield Fault("stopped (SIGSTOP)", of, _stop, World.continue_server, tells=AWAY, lasts_s=LONG_S)
    yield Fault("out of memory (noeviction)", of, _fill, _set("maxmemory", 0), tells=_FAILED)
    yield Fault("evicting (allkeys-lru), others write", of, _evict, _empty_others)
    yield Fault("read-only", of, _follow_no_server, _lead, tells=_FAILED)
    yield Fault("failover: killed, then the replica promoted", of, _fail_over, _promote, _have_replica, _FAILED)
    yield Fault("LOADING", of, _load, _be_loaded, _have_much_to_load, _FAILED)
    yield Fault("BUSY with a script", of, _hold_up, _kill_script, tells=_FAILED)
    yield Fault("another password", of, _change_password, _set("requirepass", ""), tells=AWAY)
    yield Fault("no right to expire keys", of, no_expiry, all_rights, tells=_FAILED)
    yield Fault("no right to search", of, no_search, all_rights, tells=_FAILED)
    yield Fault("too many clients", of, _allow_few, _set("maxclients", 10_000), tells=_FAILED)
    yield Fault("scripts flushed all the time", of, _flush_scripts, _leave_alone)
