"""What a model raises is an error of its request, whatever it is, and the caller's own interrupts stay theirs."""

import asyncio
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from semcache.errors import EmbedderError
from semcache.runtime.foreign_errors import awaited, called

SPECIAL = [StopIteration(), StopAsyncIteration(), SystemExit(3), GeneratorExit(), KeyboardInterrupt(), CancelledError()]


def raising(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", SPECIAL, ids=repr)
def test_what_would_end_more_than_the_request_is_an_error_of_the_model(error: BaseException) -> None:
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(called, lambda: raising(error), "the model", EmbedderError)
        with pytest.raises(EmbedderError, match=f"the model raised .*{type(error).__name__}") as told:
            future.result(10)
    assert told.value.__cause__ is error


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()], ids=repr)
async def test_an_awaited_model_cannot_end_the_loop(error: BaseException) -> None:
    async def answer() -> None:
        raise error

    with pytest.raises(EmbedderError, match="the model raised"):
        await awaited(answer(), "the model", EmbedderError)


async def test_the_cancellation_of_the_caller_is_passed_on() -> None:
    task = asyncio.ensure_future(awaited(asyncio.sleep(60), "the model", EmbedderError))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_an_interrupt_in_the_main_thread_is_the_users() -> None:
    with pytest.raises(KeyboardInterrupt):
        called(lambda: raising(KeyboardInterrupt()), "the model", EmbedderError)


def test_an_ordinary_error_and_a_result_stay_as_they_are() -> None:
    error = ValueError("x")
    with pytest.raises(ValueError) as told:
        called(lambda: raising(error), "the model", EmbedderError)
    assert told.value is error
    assert called(lambda: 3, "the model", EmbedderError) == 3
