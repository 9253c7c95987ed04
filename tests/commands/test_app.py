"""The command line: readable output, secrets hidden, one line for whatever is wrong."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from semcache.commands.exit_codes import ExitCode

Run = Callable[..., subprocess.CompletedProcess[str]]
SEMCACHE = [sys.executable, "-c", "from semcache.commands import main; main()"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the command as a user does: in an empty directory, with a terminal of 80 columns."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SEMCACHE_")}
        return subprocess.run(
            [*SEMCACHE, *arguments],
            env=clean | {"COLUMNS": "80", "NO_COLOR": "1"} | environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_without_a_command_it_says_what_there_is(run: Run) -> None:
    done = run()
    for command in ("config", "redis"):
        assert command in done.stdout + done.stderr


def test_version(run: Run) -> None:
    assert run("--version").stdout.strip().count(".") == 2


class TestConfig:
    def test_the_table_shows_values_and_sources_in_80_columns(self, run: Run) -> None:
        done = run("config", SEMCACHE_TTL="60")
        assert done.returncode == 0
        assert max(map(len, done.stdout.splitlines())) <= 80
        [line] = [line for line in done.stdout.splitlines() if "cache.ttl_s" in line]
        assert "60 s" in line and "environment SEMCACHE_TTL" in line

    def test_json_holds_every_knob(self, run: Run) -> None:
        found = json.loads(run("config", "--json", SEMCACHE_TTL="none").stdout)
        assert found["cache.ttl_s"]["value"] is None
        assert found["cache.ttl_s"]["source"] == "environment SEMCACHE_TTL"
        assert found["cache.ttl_s"]["unit"] == "s"
        assert found["rerankers"]["value"][-1]["kind"] == "retrieval-order"

    @pytest.mark.parametrize("arguments", [("config",), ("config", "--json")])
    def test_a_service_is_shown_without_its_key(self, run: Run, arguments: tuple[str, ...]) -> None:
        rung = {"kind": "http", "dialect": "tei", "url": "http://me:geheim@host:8080", "api_key": "sk-geheim"}
        done = run(*arguments, SEMCACHE_RERANKERS=json.dumps([rung]))
        assert done.returncode == 0, done.stderr
        assert "geheim" not in done.stdout
        # The table breaks long values.
        assert "http://host:8080" in "".join(done.stdout.split())

    @pytest.mark.parametrize("arguments", [("config",), ("config", "--json")])
    def test_the_password_is_hidden(self, run: Run, arguments: tuple[str, ...]) -> None:
        done = run(*arguments, SEMCACHE_REDIS_URL="redis://me:geheim@host:6379")
        assert "geheim" not in done.stdout + done.stderr
        assert "redis://host" in done.stdout

    def test_the_rights_of_redis_are_printed(self, run: Run) -> None:
        printed = run("redis", "acl", SEMCACHE_NAMESPACE="docs")
        assert printed.stdout.startswith(
            "ACL SETUSER semcache on >password resetkeys resetchannels -@all ~semcache:docs:* +"
        )
        assert printed.stdout.count("\n") == 1
        every = run("redis", "acl", "--all-namespaces", "--user", "app").stdout
        assert every.startswith("ACL SETUSER app on >password resetkeys resetchannels -@all ~semcache:* +eval")

    def test_the_template_can_be_used_as_it_is(self, run: Run, tmp_path: Path) -> None:
        text = run("config", "--template").stdout
        assert yaml.safe_load(text)["cache"]["namespace"] == "default"
        (tmp_path / "mine.yaml").write_text(text.replace("namespace: default", "namespace: mine"))
        found = json.loads(run("config", "--json", SEMCACHE_CONFIG="mine.yaml").stdout)
        assert (found["cache.namespace"]["value"], found["cache.namespace"]["source"]) == ("mine", "mine.yaml")


def test_what_is_wrong_is_one_line_without_a_traceback(run: Run) -> None:
    done = run("config", SEMCACHE_TLL="5")
    assert done.returncode == ExitCode.CONFIGURATION
    assert done.stderr.strip() == "SEMCACHE_TLL (environment) is not a setting; did you mean SEMCACHE_TTL?"
    assert done.stdout == ""


def test_markup_in_a_wrong_value_is_shown_as_it_is(run: Run) -> None:
    assert "'[red]x[/]'" in run("config", SEMCACHE_NAMESPACE="[red]x[/]").stderr


def test_without_the_extra_it_says_how_to_get_it(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['typer'] = None; from semcache.commands import main; main()"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == ExitCode.CONFIGURATION
    assert done.stderr.strip() == "typer is not installed; run: pip install 'redis-semcache[cli]'"


class TestRedis:
    @pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
    def test_it_serves_until_it_is_stopped(self, stop: signal.Signals) -> None:
        import redis

        with subprocess.Popen(
            [*SEMCACHE, "redis"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            with redis.Redis.from_url(url) as client:
                assert any(module[b"name"] == b"search" for module in client.module_list())
            server.send_signal(stop)
            _, printed = server.communicate(timeout=30)
        assert server.returncode == 0
        assert printed.endswith("stopped\n")
        with pytest.raises(redis.ConnectionError), redis.Redis.from_url(url) as client:
            client.ping()

    def test_it_may_listen_on_a_port_of_this_machine(self) -> None:
        import redis

        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            refused = subprocess.run(
                [*SEMCACHE, "redis", "--port", str(port)], capture_output=True, text=True, timeout=60, check=False
            )
        assert refused.returncode == ExitCode.USAGE
        assert f"cannot listen on port {port} of this machine" in refused.stderr and refused.stdout == ""
        command = [*SEMCACHE, "redis", "--port", str(port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline().strip() == f"redis://127.0.0.1:{port}"
            with redis.Redis(port=port) as client:
                assert client.config_get("bind") == {"bind": "127.0.0.1"}
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=30)
        assert server.returncode == 0

    def test_it_may_be_a_cluster(self) -> None:
        import redis

        command = [*SEMCACHE, "redis", "--cluster", "2"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            with redis.RedisCluster.from_url(server.stdout.readline().strip()) as client:
                assert len(client.get_primaries()) == 2
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=30)
        assert server.returncode == 0

    def test_with_a_directory_the_data_are_kept(self, tmp_path: Path) -> None:
        import redis

        for expected in (None, b"1"):
            command = [*SEMCACHE, "redis", "--directory", str(tmp_path / "data")]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout is not None
                url = server.stdout.readline().strip()
                with redis.Redis.from_url(url) as client:
                    assert client.get("a") == expected
                    client.set("a", 1)
                server.send_signal(signal.SIGINT)
                server.wait(30)
