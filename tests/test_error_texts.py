"""Errors about other programs: their words stand in a sentence of ours that reads well, with a remedy and no secret."""

import ast
import builtins
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import exceptions
from typer.testing import CliRunner

import semcache
from semcache import errors
from semcache.commands.app import app
from semcache.embedders.bert import weights_type
from semcache.embedders.folder import read_folder
from semcache.errors import SemcacheError
from semcache.models.names import read_json
from semcache.models.onnx import open_onnx
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.failures import translated
from semcache.rerankers import HttpReranker
from semcache.settings.yaml_files import load_yaml
from tests.redis.certificate import CERTIFICATE
from tests.redis.proxy import Proxy
from tests.rerank_service import RerankService, Response

SECRET = "geheim"
KEY = f"sk-{SECRET}-12345"
WHERE = "Redis at redis://h:6379"

_STRAY = re.compile(
    r"""
    (?<!\.\.)[.,;:]\s*[;,)]  # a sentence that ended before ours did
    | (?<!\.)\.\.(?![.\d/])  # and one that ended twice; 1..12, ../file and ... are none
    | :\s*:|\s\(\s*\)     # words that were not there
    | [\s.,;:]$           # an end that nothing follows
    """,
    re.VERBOSE,
)


def reads_well(error: str) -> bool:
    """Whether the text of an error has no stray punctuation, no empty part and no secret."""
    return bool(error) and not _STRAY.search(error) and SECRET not in error and error == error.strip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "refused.; check",
        "gone..",
        "it said: ",
        "it said: ; check",
        "no JSON (); give",
        "no JSON (bad.); give",
        SECRET,
    ],
)
def test_the_check_sees_what_is_wrong(text: str) -> None:
    assert not reads_well(text)


SAID_BY_REDIS = [
    exceptions.ConnectionError("Error 111 connecting to h:6379. Connection refused."),
    exceptions.ConnectionError("Error 111 connecting to h:6379. Connect call failed ('127.0.0.1', 6379)."),
    exceptions.ConnectionError("Error -2 connecting to h:6379. Name or service not known."),
    exceptions.ConnectionError("Connection closed by server."),
    exceptions.ConnectionError(""),
    exceptions.TimeoutError("Timeout connecting to server"),
    exceptions.TimeoutError(),
    TimeoutError(),
    BrokenPipeError(32, "Broken pipe"),
    OSError(),
    exceptions.AuthenticationError("invalid username-password pair or user is disabled."),
    exceptions.AuthenticationError("Authentication required."),
    exceptions.NoPermissionError("User app has no permissions to run the 'get' command"),
    exceptions.NoPermissionError("No permissions."),
    exceptions.MaxConnectionsError("Too many connections"),
    exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
    exceptions.InvalidResponse('Protocol error, got "H" as reply type byte.'),
    exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
    exceptions.ReadOnlyError("You can't write against a read only replica."),
    exceptions.MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
    exceptions.NoScriptError("No matching script. Please use EVAL."),
    exceptions.MovedError("1 h:1"),
    exceptions.ClusterDownError("The cluster is down."),
    exceptions.ResponseError("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."),
    exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left on device."),
    exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
    exceptions.ResponseError(f"unknown command 'FT.SEARCH', with args beginning with: 'i' '@tenant:{{{SECRET}}}' "),
    exceptions.ResponseError("something: new."),
    exceptions.ResponseError(f"AUTH failed for redis://me:{SECRET}@h:6379."),
    exceptions.ResponseError(""),
]


@pytest.mark.parametrize("where", [WHERE, "Redis at redis+sentinel://h:6379/s"])
@pytest.mark.parametrize("error", SAID_BY_REDIS, ids=repr)
def test_of_redis(error: Exception, where: str) -> None:
    assert reads_well(str(translated(error, where)))


async def _fails(url: str) -> None:
    """A connection fails, for threads and for event loops, in words that read well."""
    async with RedisConnection(url, timeout_s=0.3, connect_timeout_s=0.3) as connection:
        with pytest.raises(SemcacheError) as caught:
            connection.execute([("PING",)])
        assert reads_well(str(caught.value)), caught.value
    async with RedisConnection(url, timeout_s=0.3, connect_timeout_s=0.3) as connection:
        with pytest.raises(SemcacheError) as caught:
            await connection.aexecute([("PING",)])
        assert reads_well(str(caught.value)), caught.value


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@127.0.0.1:1",
        f"rediss://:{SECRET}@127.0.0.1:1",
        "unix:///no/such/socket",
        f"redis+sentinel://:{SECRET}@127.0.0.1:1/service",
    ],
)
async def test_of_a_redis_that_refuses(url: str) -> None:
    await _fails(url)


async def test_of_a_host_that_no_name_server_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    await _fails(f"redis://:{SECRET}@no.such.invalid")


async def test_of_a_refused_password(redis_url: str) -> None:
    await _fails(redis_url.replace("unix://", f"unix://app:{SECRET}@"))


async def test_of_a_redis_that_is_silent_or_no_redis(redis_url: str) -> None:
    with Proxy(redis_url).running() as proxy:
        await _fails(proxy.url.replace("redis://", "rediss://"))
        proxy.change(garbage=True)
        await _fails(proxy.url)
        proxy.change(garbage=False, frozen=True)
        await _fails(proxy.url)
        proxy.heal()


async def test_of_a_certificate(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "certificate.pem").write_text(CERTIFICATE)
    with Proxy(redis_url, tmp_path / "certificate.pem").running() as proxy:
        await _fails(proxy.url.partition("?")[0])
        await _fails(proxy.url.replace("127.0.0.1", "127.1"))
        await _fails(proxy.url.partition("?")[0].replace("rediss://", "redis://"))


@pytest.mark.parametrize(
    "response",
    [
        Response({"message": f"Incorrect API key provided: {KEY}."}, 401),
        Response({"detail": "Not Found."}, 404),
        Response({"error": "batch size 40 > maximum allowed batch size 32."}, 413),
        Response({"message": ""}, 422),
        Response(b"", 500),
        Response(b"<html>Bad gateway.</html>", 502),
        Response({}, 302, {"location": f"https://me:{SECRET}@elsewhere/rerank"}),
        Response(b"no JSON"),
        Response(b""),
        Response({"results": []}),
        Response({"results": [{"index": 0, "relevance_score": "high."}]}),
    ],
    ids=lambda response: f"{response.status} {response.body}",
)
def test_of_a_rerank_service(response: Response) -> None:
    with RerankService("cohere") as service:
        service.always = lambda handler, request: response
        check_service(service.url)


def check_service(url: str) -> None:
    with HttpReranker("cohere", "m", url=url, api_key=KEY, retries=0) as reranker:
        with pytest.raises(SemcacheError) as caught:
            reranker.score([("q", "a")])
        assert reads_well(str(caught.value)), caught.value


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://127.0.0.1:1"])
def test_of_a_rerank_service_that_is_away(url: str) -> None:
    check_service(url)


def damaged_files(folder: Path) -> Iterator[Callable[[], object]]:
    """Each damaged file of a model or of settings, as a call that reads it."""
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text(f'{{"token": "{SECRET}",')
    yield lambda: read_json(model / "config.json")
    (model / "model.safetensors").write_bytes(b"no weights")
    (model / "config.json").write_text("{}")
    yield lambda: weights_type(read_folder(model))
    (model / "model.onnx").write_bytes(b"no graph")
    yield lambda: open_onnx(model / "model.onnx", model / "tokenizer.json", 32, 1)
    for number, text in enumerate(
        (
            f"a: [{SECRET}",
            f"a: b: {SECRET}",
            "a: 1\na: 2",
            "a: 2026-13-01",
            "a: \x00",
            "- a",
            f"a: {'9' * 5000}",
            "a: *b",
            "? [a]\n: 1",
        )
    ):
        path = folder / f"{number}.yaml"
        path.write_text(text)
        yield lambda path=path: load_yaml(path)  # type: ignore[misc]


def test_of_damaged_files(tmp_path: Path) -> None:
    for read in damaged_files(tmp_path):
        with pytest.raises(SemcacheError) as caught:
            read()
        assert reads_well(str(caught.value)), caught.value


@pytest.mark.parametrize(
    "words",
    [
        ("stats",),
        ("clear", "--yes"),
        ("export", "entries.jsonl"),
        ("warm", "no-file"),
        ("warm", "folder/empty"),
        ("import", "folder/bytes"),
        ("import", "folder/empty"),
        ("import", "folder/no-json"),
        ("calibrate", "folder/no-json"),
        ("inspect", "q", "--documents", "folder/bytes"),
        ("export", "no-folder/entries.jsonl"),
        ("forget",),
        ("forget", "--document-file", "folder"),
        ("migrate",),
        ("top", "--url", "http://127.0.0.1:1"),
        ("top", "--url", "nowhere"),
        ("size", "--entries", "-1"),
        ("redis", "--replicas", "1"),
    ],
    ids=" ".join,
)
def test_of_the_command(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in {"empty": b"", "bytes": b"\xff\xfe", "no-json": b"x\n"}.items():
        (folder / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEMCACHE_REDIS_URL", f"redis://:{SECRET}@127.0.0.1:1")
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(app, words)
    assert done.exit_code in (2, 3, 4)
    # Typer draws a box around what it finds itself.
    assert "╭" in done.stderr or reads_well(done.stderr.strip()), done.stderr


OURS = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, SemcacheError)}


def _caught(handler: ast.ExceptHandler) -> set[str]:
    kinds = [] if handler.type is None else [node for node in ast.walk(handler.type) if isinstance(node, ast.Name)]
    return {node.id for node in kinds}


def _pasted(module: ast.Module) -> Iterator[int]:
    """Lines that put the text of an error which is not ours, as it is, into a text."""
    for handler in ast.walk(module):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None or _caught(handler) <= OURS:
            continue
        for node in ast.walk(handler):
            match node:
                case ast.FormattedValue(value=ast.Name(id=handler.name), conversion=-1):
                    yield node.lineno
                case ast.FormattedValue(value=ast.Call(func=ast.Name("str"), args=[ast.Name(id=handler.name)])):
                    yield node.lineno


def test_no_text_of_another_library_is_put_into_ours_as_it_is() -> None:
    example = f"try: f()\nexcept {builtins.OSError.__name__} as e:\n    raise ValueError(f'no file: {{e}}')"
    assert list(_pasted(ast.parse(example))) == [3]
    folder = Path(semcache.__file__).parent
    # Without the watcher of the embedded Redis: a program that imports nothing of semcache.
    paths = set(folder.rglob("*.py")) - {folder / "redis" / "server" / "watcher.py"}
    pasted = {
        f"{path.relative_to(folder)}:{line}"
        for path in paths
        if "except" in (text := path.read_text(encoding="utf-8"))
        for line in _pasted(ast.parse(text))
    }
    assert pasted == set(), "say it by semcache.causes.message_of"
