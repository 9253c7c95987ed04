"""Answers the requests whose time is over when the server ends."""

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from semcache.server.refusals import RefusedError


class Ending:
    """The application for a server that cancels what is under way when ``server.shutdown_s`` is over, as uvicorn does.

    Requests get status 503 then. Uvicorn itself answers 500, and writes a traceback for each of them to its log.
    """

    def __init__(self, app: ASGIApp, retry_after_s: int) -> None:
        self._app = app
        self._retry_after_s = retry_after_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_answered = False

        async def noting(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError:
            if is_answered:
                raise
            refused = RefusedError(503, "the server ends; ask again, and another one answers", self._retry_after_s)
            headers = {**refused.headers, "Connection": "close"}
            await JSONResponse(refused.body, refused.status, headers)(scope, receive, send)
