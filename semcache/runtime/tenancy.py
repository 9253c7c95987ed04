"""The tenant whose request is being served, for code behind interfaces of users, which know no tenants."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

_tenant: ContextVar[str | None] = ContextVar("semcache_tenant", default=None)


def current_tenant() -> str | None:
    """The tenant whose request this thread or task serves; None for work in the background, and without a cache."""
    return _tenant.get()


@contextmanager
def serving(tenant: str) -> Iterator[None]:
    """Serve a request of this tenant in the block."""
    token = _tenant.set(tenant)
    try:
        yield
    finally:
        # The garbage collector ends a coroutine whose loop is gone, in a context to which the token does not belong.
        with suppress(ValueError):
            _tenant.reset(token)


def serve(tenant: str, call: Callable[[], Any]) -> Any:
    """The answer of a call for this tenant; of one that gives an awaitable, an awaitable of the same."""
    with serving(tenant):
        answer = call()
    return _awaited(tenant, answer) if isinstance(answer, Awaitable) else answer


async def _awaited(tenant: str, answer: Awaitable[Any]) -> Any:
    with serving(tenant):
        return await answer
