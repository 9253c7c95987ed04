"""``semcache inspect``: what would be served for a query, and why."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from semcache.commands.console import err
from semcache.commands.files import JsonFile, check_folder, present
from semcache.commands.target import Namespace, RedisUrl, connected, settings_for

_DOCUMENTS = "File with the documents of the request: a JSON list, or one per line; - for stdin."


def inspect(
    query: Annotated[str, Argument(help="The query, as the application sends it.")],
    tenant: Annotated[str, Option(help="The tenant of the request.", show_default="the default tenant")] = "",
    documents: Annotated[Path | None, Option(dir_okay=False, help=_DOCUMENTS)] = None,
    top_k: Annotated[int, Option(min=1, help="Documents that the request wants back.")] = 5,
    neighbours: Annotated[int, Option(min=1, max=100, help="Near entries to show.")] = 5,
    redis_url: RedisUrl = None,
    namespace: Namespace = None,
    json_file: JsonFile = None,
) -> None:
    """Say what would be served for a query, and why: its entry, near ones, the guard's verdicts, thresholds in force.

    With documents, also which of them the reranker would be asked about. It is not asked, nothing is stored, counted
    or learned, and no entry lives longer for it.
    """
    from semcache.commands.inspect.documents import read_documents
    from semcache.commands.inspect.report import report
    from semcache.commands.inspect.sight import inspect_query

    check_folder(json_file)
    texts = None if documents is None else read_documents(documents)
    settings = settings_for(redis_url, namespace)
    with connected(settings) as connection, err().status("loading the embedder"):
        found = inspect_query(settings, connection, query, tenant, texts, top_k, neighbours)
    present(lambda: report(found), found.as_json, json_file)
