"""Before anything is loaded: an address that nothing can listen on is named, and connections are allowed."""

import re
import resource
import socket

import pytest

from semcache.errors import ConfigurationError
from semcache.server.serving import allow_connections, serve
from semcache.settings import Settings


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_that_is_in_use(workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        said = f"nothing can listen on port {port} of 127.0.0.1 (Address already in use); name others by --port"
        with pytest.raises(ConfigurationError, match=re.escape(said)):
            serve(Settings(), "127.0.0.1", port, workers)


def test_an_address_of_another_machine() -> None:
    # Of the block that is reserved for documentation.
    with pytest.raises(ConfigurationError, match=re.escape("of 192.0.2.1 (")):
        serve(Settings(), "192.0.2.1", 0, 1)


@pytest.mark.parametrize("before", [200, None])
def test_it_may_have_as_many_connections_as_the_system_allows(before: int | None) -> None:
    may_have, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before or allowed, allowed))
        allow_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (
            allowed if before is None else min(allowed, 65_536),
            allowed,
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (may_have, allowed))
