"""A Redis Cluster on this machine that forms, serves, and leaves nothing behind."""

import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import redis

from semcache.errors import ConfigurationError, EmbeddedRedisError
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.server.files import ServerFiles
from tests.redis.conftest import parent_pid, wait_for_end

OWNER = """
import os, signal, sys
import redis
from semcache.redis.server.embedded import EmbeddedRedis
server = EmbeddedRedis(cluster=2).start()
with redis.RedisCluster.from_url(server.url) as client:
    print(*(info["process_id"] for info in client.info("server", target_nodes="primaries").values()), flush=True)
sys.stdin.read()
"""


def test_it_has_the_shards_and_replicas_that_were_asked_for(cluster: EmbeddedRedis) -> None:
    with redis.RedisCluster.from_url(cluster.url) as client:
        assert (len(client.get_primaries()), len(client.get_replicas())) == (3, 3)
        for number in range(20):
            client.set(f"key-{number}", number)
        assert [int(client.get(f"key-{number}") or -1) for number in range(20)] == list(range(20))
        assert all(client.dbsize(target_nodes=primary) > 0 for primary in client.get_primaries())
    with redis.Redis.from_url(cluster.url) as client:
        assert isinstance(client.execute_command("FT._LIST"), list)


def test_other_users_of_the_machine_are_kept_out(cluster: EmbeddedRedis) -> None:
    password, address = re.fullmatch(r"redis://:([\w-]{20,})@(127\.0\.0\.1:\d+)", cluster.url).groups()  # type: ignore[union-attr]
    with redis.Redis.from_url(f"redis://{address}") as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    with redis.Redis.from_url(cluster.url) as client:
        pid = int(client.info("server")["process_id"])
    for process in (pid, parent_pid(pid)):
        assert password.encode() not in Path(f"/proc/{process}/cmdline").read_bytes()
    assert password not in repr(cluster)
    assert address in repr(cluster)


def test_nothing_is_left_when_its_owner_is_killed() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    servers = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(servers) == 2
    watchers = [parent_pid(pid) for pid in servers]
    directories = [Path(f"/proc/{pid}/cwd").readlink() for pid in servers]
    owner.kill()
    owner.communicate()
    for pid in chain(servers, watchers):
        wait_for_end(pid)
    assert not any(directory.exists() for directory in directories)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cluster": -1}, "take cluster=3"),
        ({"cluster": 20, "replicas": 1}, "up to 30 nodes"),
        ({"replicas": 1}, "give the number of its primaries"),
        ({"cluster": 3, "directory": "data"}, "keeps nothing"),
    ],
)
def test_an_impossible_one_is_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        EmbeddedRedis(**arguments)


def test_nodes_that_do_not_come_up_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho no such luck\n")
    program.chmod(0o700)
    files = ServerFiles(program, tmp_path / "redisearch.so")
    monkeypatch.setattr("semcache.redis.server.embedded.find_server_files", lambda: files)
    with pytest.raises(EmbeddedRedisError, match="no such luck"):
        EmbeddedRedis(cluster=2).start()
