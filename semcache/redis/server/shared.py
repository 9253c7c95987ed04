"""The embedded server that all users of the url ``embedded`` in one process share."""

import threading
from contextlib import suppress

from semcache.errors import EmbeddedRedisError
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.runtime.forking import renew_in_child


class SharedServer:
    """Starts a server for its first user, and stops it with its last."""

    def __init__(self) -> None:
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Begin without a server, since the parent's ends with the parent; also used for the beginning itself.

        Leases of before keep the url of the parent's server, and end nothing here.
        """
        # Held while the server starts or stops: a second caller needs the url of a server that answers.
        self._lock = threading.Lock()
        self._server: EmbeddedRedis | None = None
        self._leases: set[Lease] = set()

    def acquire(self) -> "Lease":
        """The use of the server until the lease ends. Raises EmbeddedRedisError and MissingExtraError."""
        with self._lock:
            if self._server is None:
                self._server = EmbeddedRedis().start()
            lease = Lease(self, self._server.url)
            self._leases.add(lease)
            return lease

    def revive(self) -> None:
        """Start the server again if it has ended by itself. Raises EmbeddedRedisError when it does not come up."""
        with self._lock:
            if self._server is not None:
                self._server.revive()

    def release(self, lease: "Lease") -> None:
        """Stop the server if this was its last lease. A lease that ended before changes nothing."""
        with self._lock:
            self._leases.discard(lease)
            if not self._leases and self._server is not None:
                self._server.close()
                self._server = None


class Lease:
    """One user's use of the shared server. To end it again does nothing, in whichever threads that happens."""

    def __init__(self, server: SharedServer, url: str) -> None:
        self.url = url
        self._server = server

    def revive(self) -> None:
        """``SharedServer.revive``, in the background: it takes longer than a request may be held up."""

        def revive() -> None:
            # The next call that Redis' circuit breaker admits tries again. Its failure is an event.
            with suppress(EmbeddedRedisError):
                self._server.revive()

        with suppress(RuntimeError):  # the interpreter exits
            threading.Thread(target=revive, name="semcache-redis", daemon=True).start()

    def end(self) -> None:
        """Give the use up, and with it the server if there is no other user."""
        self._server.release(self)


SHARED_SERVER = SharedServer()
"""The server of this process."""
