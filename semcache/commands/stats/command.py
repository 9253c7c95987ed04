"""``semcache stats``: what a namespace holds, what was learned there, and what is in force."""

from typing import Annotated

from typer import Option

from semcache.commands.console import err
from semcache.commands.files import JsonFile, check_folder, present
from semcache.commands.target import Namespace, RedisUrl, connected, settings_for


def stats(
    redis_url: RedisUrl = None,
    namespace: Namespace = None,
    server: Annotated[
        str | None,
        Option(help="Also ask a running semcache serve at this URL what it answered, and for its last errors."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Show what a namespace holds, what was learned there about the cost of reuse, and what is in force.

    Entries, tenants and memory of each scope, that is, of each pair of reranker and embedder. Goes through all keys of
    the Redis, and changes nothing.
    """
    from semcache.commands.asking import ask, checked_url, operator_key
    from semcache.commands.stats.report import report
    from semcache.commands.stats.survey import survey

    check_folder(json_file)
    settings = settings_for(redis_url, namespace)
    # First, since a wrong url is noticed at once, and the keys may take seconds.
    asked = None
    if server is not None:
        base, key = checked_url(server, "--server"), operator_key(settings.server)
        asked = ask(base, "/stats", key, "--server", {"cache", "reranker"})
    with connected(settings) as connection, err().status("counting") as status:
        found = survey(settings, connection, lambda keys: status.update(f"counting: {keys:,} keys"))
    present(lambda: report(found, asked), lambda: {**found.as_json(), "server": asked}, json_file)
