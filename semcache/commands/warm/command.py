"""``semcache warm``: scores and stores the requests of a file before they are asked."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from semcache.commands.console import say
from semcache.commands.exit_codes import ExitCode
from semcache.commands.files import JsonFile, check_folder, present
from semcache.commands.target import Namespace, RedisUrl, settings_for

_FILE = (
    'JSON lines, {"query": "...", "documents": ["...", ...], "tenant": "..."}, or CSV with the columns query, document '
    "and tenant, a row for each document; - for stdin. The tenant may be left out."
)
_RATE = "Most pairs to score per minute, for a service that bills or limits them."


def warm(
    file: Annotated[Path, Argument(dir_okay=False, help=_FILE)],
    tenant: Annotated[
        str, Option(help="The tenant of requests that name none.", show_default="the default tenant")
    ] = "",
    pairs_per_minute: Annotated[float | None, Option(min=1, help=_RATE, show_default="no limit")] = None,
    redis_url: RedisUrl = None,
    namespace: Namespace = None,
    json_file: JsonFile = None,
) -> None:
    """Score the requests of a file with the primary reranker and store them, so that they are answered exactly.

    What is known already is not scored again, so the same command goes on after Ctrl-C. The file is checked first.
    """
    from semcache.commands.warm.run import Warming
    from semcache.commands.whole_file import opened

    check_folder(json_file)
    settings = settings_for(redis_url, namespace)
    with opened(file) as lines:
        warming = Warming(str(file), lines, tenant)
        warming.check()
        try:
            warming.run(settings, pairs_per_minute)
        except KeyboardInterrupt:
            stored = f"{warming.done.requests:,} of {warming.requests:,} requests"
            say(f"stopped; {stored} are stored, and the same command goes on")
            raise Exit(ExitCode.INTERRUPTED) from None
    present(lambda: warming.done.summary(settings.cache.namespace), warming.done.as_json, json_file)
