"""``semcache migrate``: moves the entries of a former embedder into the scope of the present one."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import TimeRemainingColumn

from semcache.commands.bars import Bars
from semcache.commands.console import err
from semcache.commands.exit_codes import ExitCode
from semcache.commands.files import JsonFile, check_folder, present

if TYPE_CHECKING:
    from semcache.cached import CachedReranker
    from semcache.migration.migrator import Migrator
    from semcache.migration.scope import MigrationStatus
    from semcache.settings import Settings


class Action(StrEnum):
    """The action to be taken; the value is what a user types."""

    STATUS = "status"
    RUN = "run"
    CLEAN = "clean"


def migrate(
    action: Annotated[
        Action,
        typer.Argument(
            help="status: show how far it is. run: move what is not moved yet. clean: remove the former entries, "
            "after which there is no way back."
        ),
    ] = Action.STATUS,
    force: Annotated[
        bool, typer.Option("--force", help="Clean although not all is moved, or former processes still write.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Move the entries of a former embedder (migration.from_model) into the scope of embedder.model.

    Requests go on meanwhile. The entries are those of the first reranker of the settings. Ctrl-C stops it at any time;
    the same command then goes on where it stopped.
    """
    from dataclasses import asdict

    from semcache.settings import Settings

    check_folder(json_file)
    with opened(Settings()) as reranker:
        migrator = reranker.cache.migrator()
        removed = _act(migrator, action, force=force)
        found = migrator.status()
    values = {"removed_keys": removed, "scopes": [asdict(status) for status in found]}
    present(lambda: "\n".join(map(_described, found)), lambda: values, json_file)


def opened(settings: "Settings") -> "CachedReranker":
    """The first reranker of the settings over their cache, known by its answers as an application would know it.

    Raises ConfigurationError where nothing is to be migrated.
    """
    from semcache.cache import RedisSemanticCache
    from semcache.cached import CachedReranker
    from semcache.commands.models import configured_models
    from semcache.errors import ConfigurationError

    url = settings.redis.url.get_secret_value()
    if url == "embedded":
        raise ConfigurationError("redis.url is embedded, and a new private server is empty; name the running cache's")
    if settings.migration.from_model is None and not settings.migration.is_of_index:
        raise ConfigurationError(
            "migration.from_model is not set; name the embedder that entries were written with before embedder.model, "
            "or what differed in its index (migration.from_vector_type, from_m or from_ef_construction)"
        )
    models = configured_models(settings)
    cache = RedisSemanticCache(url, models.embedder, settings=settings)
    reranker = CachedReranker(models.reranker, cache)
    reranker.identity.verify()
    return reranker


def _act(migrator: "Migrator", action: Action, *, force: bool) -> int:
    if action is Action.STATUS:
        return 0
    with Bars(TimeRemainingColumn()) as bars:
        try:
            if action is Action.CLEAN:
                return migrator.clean(bars.show, force=force)
            migrator.run(bars.show)
        except KeyboardInterrupt:
            err().print("stopped; what was moved stays, and the same command goes on", soft_wrap=True)
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    return 0


def _described(status: "MigrationStatus") -> str:
    state = status.state
    if state.cleaned_at is not None:
        how_far = "the former entries are removed; migration.from_model can go from the settings"
    elif status.is_finished:
        how_far = "all that was there is moved; run it once more after the last process with the former settings ended"
        if state.without_text:
            how_far += f". The text of {state.without_text} entries is not stored: near queries find them by traffic"
    elif state.seen:
        how_far = f"{state.seen} entries looked at, {state.moved} moved, {state.embedded} with a vector"
    else:
        how_far = "nothing is moved yet"
    running = " (a process moves them now)" if status.is_running else ""
    return f"{status.scope}: {status.entries} entries, {status.former_entries} in {status.source}; {how_far}{running}"
