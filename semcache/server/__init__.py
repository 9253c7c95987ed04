"""The pipeline over HTTP, for clients of Cohere, Jina and TEI in any language. It needs the extra ``server``.

``app`` has the routes; ``formats`` what clients send and get, ``scale`` how scores become 0..1, ``access`` keys and
tenants, ``limits`` what is refused, ``readiness`` when requests may come, ``watching`` metrics, ``live`` the figures of
the page, ``page_files`` the page itself, ``serving`` the processes, ``ending`` the answers when these end.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semcache.server.app import create_app
    from semcache.server.live.recorder import Recorder

__all__ = ["Recorder", "create_app"]

# Not for type checkers, which would take every misspelt name for one of the package.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # fastapi is optional, and takes half a second to import.
        if name == "Recorder":
            from semcache.server.live.recorder import Recorder

            return Recorder
        if name != "create_app":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from semcache.errors import MissingExtraError

        try:
            from semcache.server.app import create_app
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("fastapi", "starlette"):
                raise
            raise MissingExtraError("fastapi", "server") from error
        return create_app
