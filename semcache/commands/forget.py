"""``semcache forget`` and ``semcache clear``: remove what is remembered, whichever models it is of."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Abort, Exit, Option

from semcache.commands.console import err, say
from semcache.commands.exit_codes import ExitCode
from semcache.commands.files import STDOUT, JsonFile, check_folder, present
from semcache.commands.in_words import entries
from semcache.commands.target import Namespace, RedisUrl, connected, settings_for
from semcache.errors import InvalidInputError

if TYPE_CHECKING:
    from semcache.redis.client.connection import RedisConnection
    from semcache.redis.scopes import Scope
    from semcache.redis.store import RedisStore
    from semcache.settings import Settings

_FINGERPRINT_DIGITS = 32


def forget(
    query: Annotated[str | None, Option(help="Forget what is remembered of this query.")] = None,
    document: Annotated[str | None, Option(help="Forget the document with this text, wherever it was scored.")] = None,
    document_file: Annotated[
        Path | None,
        Option(dir_okay=False, help="The same with a text from a file, without its last line break; - for stdin."),
    ] = None,
    fingerprint: Annotated[
        str | None, Option(help="The same by 32 hexadecimal digits, as document_fingerprint() gives them.")
    ] = None,
    tenant: Annotated[
        str | None,
        Option(help="Alone: forget all of this tenant. With a query or a document: that of this tenant only."),
    ] = None,
    redis_url: RedisUrl = None,
    namespace: Namespace = None,
    json_file: JsonFile = None,
) -> None:
    """Remove what is remembered of a query, of a document or of a tenant, and say how many entries changed.

    It is removed from all scopes of the namespace: whichever reranker and embedder it is of. A query without a tenant
    is the default tenant's; a document without a tenant is forgotten in all of them. For a document or a tenant, all
    keys of the Redis are gone through.
    """
    from semcache.flow.requests import checked_forget

    check_folder(json_file)
    wanted = _document(document, document_file, fingerprint)
    if (query is None) is (wanted is None) and (query is not None or tenant is None):
        raise InvalidInputError(
            "give either --query or a document (--document, --document-file, --fingerprint), or --tenant alone; "
            "semcache clear removes everything"
        )
    digest = checked_forget(query, wanted, tenant)
    settings = settings_for(redis_url, namespace)
    touched = 0
    with connected(settings) as connection, err().status("looking for it"):
        for _, store in _stores(settings, connection):
            touched += store.forget(tenant, query=query, document=digest)
    name = settings.cache.namespace
    present(
        lambda: f"{entries(touched)} changed or removed in namespace {name}",
        lambda: {"namespace": name, "entries": touched},
        json_file,
    )


def clear(
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask.")] = False,
    redis_url: RedisUrl = None,
    namespace: Namespace = None,
    json_file: JsonFile = None,
) -> None:
    """Remove all entries of a namespace, of all models and tenants, and say how many there were. Asks before.

    What was learned about the cost of reuse stays, and so do decisions about the breaker.
    """
    check_folder(json_file)
    settings = settings_for(redis_url, namespace)
    name, removed = settings.cache.namespace, 0
    with connected(settings) as connection:
        with err().status("counting"):
            found = list(_stores(settings, connection))
        there = sum(scope.entries for scope, _ in found)
        if not yes and there:
            _ask(f"Remove {entries(there)} in namespace {name} of {connection.where}?")
        with err().status("removing"):
            removed = sum(store.clear() for _, store in found)
    present(
        lambda: f"{entries(removed)} removed from namespace {name}",
        lambda: {"namespace": name, "entries": removed},
        json_file,
    )


def _ask(question: str) -> None:
    try:
        if typer.confirm(question, err=True):
            return
    except Abort as error:
        # Typer raises it for both.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise InvalidInputError("there is no answer on stdin; pass --yes") from error
    say("nothing was removed")
    raise Exit(ExitCode.FAILED)


def _document(text: str | None, file: Path | None, fingerprint: str | None) -> str | bytes | None:
    if sum(given is not None for given in (text, file, fingerprint)) > 1:
        raise InvalidInputError("give one of --document, --document-file and --fingerprint")
    if fingerprint is not None:
        try:
            if len(fingerprint) == _FINGERPRINT_DIGITS:
                return bytes.fromhex(fingerprint)
        except ValueError:
            pass
        raise InvalidInputError(f"--fingerprint {fingerprint!r:.80} has not {_FINGERPRINT_DIGITS} hexadecimal digits")
    if file is None:
        return text
    try:
        # As bytes: line breaks inside of it are a part of the text, whichever they are.
        read = (sys.stdin.buffer.read() if file == STDOUT else file.read_bytes()).decode()
    except OSError as error:
        raise InvalidInputError(f"cannot read {file}: {error.strerror}; name the file with the text") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file} is not UTF-8 (byte {error.start}); convert it to UTF-8") from error
    return read.removesuffix("\n").removesuffix("\r")


def _stores(settings: "Settings", connection: "RedisConnection") -> "Iterator[tuple[Scope, RedisStore]]":
    """Each scope of the namespace with a store of it, which is good for removing only."""
    from semcache.redis.scopes import scopes_of
    from semcache.redis.store import RedisStore

    knobs = settings.cache
    key = None if knobs.signing_key is None else knobs.signing_key.get_secret_value()
    for scope in scopes_of(connection, knobs.namespace, is_measured=False):
        # Neither models nor the length of vectors matter to what is removed.
        options = {"reranker": "", "embedder": "", "dims": 1, "signing_key": key}
        yield scope, RedisStore(connection, namespace=knobs.namespace, scope=scope.id, **options)  # type: ignore[arg-type]
