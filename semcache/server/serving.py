"""Runs the application in one process or several, until it is told to end."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from tempfile import TemporaryDirectory

import uvicorn
from starlette.types import ASGIApp

from semcache.errors import ConfigurationError
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.server.app import create_app
from semcache.server.ending import Ending
from semcache.server.live.workers import FOLDER
from semcache.server.watching import MULTIPROCESS, has_prometheus
from semcache.settings import Settings

_LISTEN_BACKLOG = 2048
"""Connections that wait to be accepted: as uvicorn has it by default."""

_MOST_FILES = 65_536
"""More connections than clients and proxies keep open to one process; some systems allow a billion files."""

_KEEP_ALIVE_S = 75
"""Idle connections are kept for longer than clients and proxies keep them (60 s in nginx and load balancers of AWS): of
two that close at the same time, the client loses a request."""


def serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serve until SIGTERM or Ctrl-C, then answer what is under way.

    Several workers read their settings from environment and YAML themselves. Raises ConfigurationError when these
    cannot be used or nothing can listen there, before a process is started.
    """
    _check_address(host, port)
    shutdown_s = int(settings.server.shutdown_s)
    log_to_stderr()
    allow_connections()
    if workers == 1:
        app: ASGIApp | str = _application(settings)
    else:
        if settings.redis.url.get_secret_value() == "embedded":
            raise ConfigurationError(
                f"server.workers is {workers} and redis.url is embedded: each worker would have a Redis of its own; "
                "start one by `semcache redis`, and pass its url"
            )
        # A worker that cannot start is started again for ever, so what is wrong must be seen before.
        OptimizedRerankerPipeline.from_settings(settings).close()
        app = "semcache.server.serving:from_environment"
    # Ctrl-C and SIGTERM are raised once more as KeyboardInterrupt after the last answer.
    with _folders_of(workers), suppress(KeyboardInterrupt):
        uvicorn.run(
            app,
            factory=isinstance(app, str),
            host=host,
            port=port,
            workers=workers,
            backlog=_LISTEN_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=shutdown_s,
            # Metrics count requests; a line for each would cost more than an exact hit.
            access_log=False,
            server_header=False,
        )


def allow_connections() -> None:
    """Let this process and its workers have as many open files, and so connections, as the system allows.

    Mostly they may have 1,024 unless they ask. With all of them taken, the server answers no one, and asyncio writes
    thousands of tracebacks a second to the log.
    """
    try:
        import resource
    except ImportError:  # on Windows, which has no such limit
        return
    may_have, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if allowed == resource.RLIM_INFINITY else min(allowed, _MOST_FILES)
    if may_have != resource.RLIM_INFINITY and may_have < most:
        with suppress(ValueError, OSError):  # macOS allows fewer than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, allowed))


def _check_address(host: str, port: int) -> None:
    """Raise ConfigurationError unless this process can listen there: uvicorn loads all models before it tries."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
            # As uvicorn does it: connections of a server that has just ended are not in the way.
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        raise ConfigurationError(
            f"nothing can listen on port {port} of {host} ({error.strerror}); name others by --port and --host, or in "
            "server.port and server.host"
        ) from error


def from_environment() -> ASGIApp:
    """The application of a worker process."""
    log_to_stderr()
    return _application(Settings())


def _application(settings: Settings) -> ASGIApp:
    return Ending(create_app(settings=settings), settings.server.retry_after_s)


def log_to_stderr() -> None:
    """Show the log of semcache, warnings and up, beside that of uvicorn, unless logging is set up."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Written only where telemetry.summary_s asks for it, and then it has to be seen.
    logging.getLogger("semcache.summary").setLevel(logging.INFO)


@contextmanager
def _folders_of(workers: int) -> Iterator[None]:
    """Folders through which several workers share metrics, unless the environment names one, and figures."""
    with ExitStack() as stack:
        if workers > 1:
            if has_prometheus() and not os.environ.get(MULTIPROCESS):
                stack.enter_context(_folder(MULTIPROCESS, "semcache-metrics-"))
            # Windows has none of these sockets; a worker's page then shows that worker alone.
            if hasattr(socket, "AF_UNIX"):
                stack.enter_context(_folder(FOLDER, "semcache-sockets-"))
        yield


@contextmanager
def _folder(variable: str, prefix: str) -> Iterator[None]:
    """A folder that this user alone can read, which the variable names to the workers, in the block."""
    with TemporaryDirectory(prefix=prefix) as folder:
        os.environ[variable] = folder
        try:
            yield
        finally:
            del os.environ[variable]
