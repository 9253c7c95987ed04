"""``semcache breaker``: takes the primary reranker of all processes of a namespace out of service, and back."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from semcache.commands.files import JsonFile, check_folder, present
from semcache.commands.target import Namespace, RedisUrl, connected, settings_for

if TYPE_CHECKING:
    from semcache.redis.forced_state import ForcedState


class Action(StrEnum):
    """The action to be taken; the value is what a user types."""

    STATUS = "status"
    OPEN = "open"
    DISABLE = "disable"
    RESET = "reset"


def breaker(
    action: Annotated[
        Action,
        typer.Argument(
            help="status: show the decision in force. open: no request goes to the primary. disable: every request "
            "does, however slow it is. reset: end either, and close the breakers."
        ),
    ] = Action.STATUS,
    reason: Annotated[str, typer.Option(help="Shown in statistics, events and logs of every process.")] = "",
    for_s: Annotated[
        float | None, typer.Option("--for", min=1, help="Seconds after which the decision ends by itself.")
    ] = None,
    redis_url: RedisUrl = None,
    namespace: Namespace = None,
    json_file: JsonFile = None,
) -> None:
    """Decide about the primary reranker in every running process of a namespace.

    Processes follow within five seconds of traffic.
    """
    from dataclasses import asdict
    from time import time

    from semcache.redis.forced_state import RESET, ForcedState, ForcedStateStore

    check_folder(json_file)
    settings = settings_for(redis_url, namespace)
    name = settings.cache.namespace
    with connected(settings) as connection:
        store = ForcedStateStore(connection, name)
        if action is not Action.STATUS:
            state = {Action.OPEN: "forced-open", Action.DISABLE: "disabled", Action.RESET: RESET}[action]
            now = time()
            store.write(ForcedState(state, reason or f"semcache breaker {action}", now, for_s and now + for_s))
        forced = store.read()
    values = {"namespace": name, "decision": None if forced is None else asdict(forced)}
    present(lambda: f"{name}: {described(forced)}", lambda: values, json_file)


def described(forced: "ForcedState | None") -> str:
    """A decision in words."""
    from datetime import UTC, datetime

    from semcache.redis.forced_state import RESET

    if forced is None:
        return "no decision; each process's breaker decides"
    at = datetime.fromtimestamp(forced.at, UTC)
    if forced.state == RESET:
        return f"reset at {at:%Y-%m-%d %H:%M:%S} UTC ({forced.reason}); each process's breaker decides"
    until = "" if forced.until is None else f" until {datetime.fromtimestamp(forced.until, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"{forced.state} since {at:%Y-%m-%d %H:%M:%S} UTC{until} ({forced.reason})"
