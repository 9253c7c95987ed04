"""Event loops beside that of a test."""

import asyncio
from threading import Event, Thread

from tests.forks import PATIENCE_S


class LoopInThread:
    """An event loop that runs in a thread of its own until the end of a with block."""

    def __enter__(self) -> asyncio.AbstractEventLoop:
        self.loop, started = asyncio.new_event_loop(), Event()
        self.loop.call_soon(started.set)
        self.thread = Thread(target=self.loop.run_forever)
        self.thread.start()
        started.wait(PATIENCE_S)
        return self.loop

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE_S)
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
