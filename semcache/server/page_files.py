"""The files of the page at /: read once, and sent so that browsers keep them and load nothing from elsewhere."""

from collections.abc import Mapping
from hashlib import blake2b
from importlib.resources import files

from fastapi import FastAPI, Request, Response

from semcache.server.refusals import RefusedError

_TYPES: Mapping[str, str] = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_HEADERS: Mapping[str, str] = {
    # Nothing but the files of this folder and the figures of this server, and no code inside of HTML.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Kept by browsers, which ask by the ETag whether it is still the same: a new version is seen at once.
    "Cache-Control": "no-cache",
}


class PageFiles:
    """The files of the folder ``page``, by name. Without figures and without secrets: they need no key."""

    def __init__(self) -> None:
        folder = files("semcache.server").joinpath("page")
        self._files = {
            file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES
        }
        self._tags = {
            name: f'"{blake2b(content, digest_size=12).hexdigest()}"' for name, content in self._files.items()
        }

    def add_to(self, app: FastAPI) -> None:
        """Serve index.html at / and the others below /page. They are left out of the description of the routes."""
        app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)(self._index)
        app.api_route("/page/{name}", methods=["GET", "HEAD"], include_in_schema=False)(self._file)

    async def _index(self, request: Request) -> Response:
        return await self._file(request, "index.html")

    async def _file(self, request: Request, name: str) -> Response:
        if name not in self._files:
            raise RefusedError(404, "the page has no such file")
        headers = {**_HEADERS, "ETag": self._tags[name]}
        if self._tags[name] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self._files[name], headers=headers, media_type=_TYPES[name.rpartition(".")[2]])

    def __repr__(self) -> str:
        return f"<PageFiles {', '.join(sorted(self._files))}>"
