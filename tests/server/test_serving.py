"""An address that nothing can listen on is named before anything is loaded."""

import re
import socket

import pytest

from semcache.errors import ConfigurationError
from semcache.server.serving import serve
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
