"""How commands are packed and replies are taken on one of redis-py's connections, for threads and for event loops."""

from collections.abc import Iterable
from typing import Any

from hiredis import pack_command
from redis.exceptions import ResponseError

from semcache.redis.client.commands import Command


def has_left_over(connection: Any) -> bool:
    """Whether something was received behind the last reply. Then all later replies would be off by one.

    What the server sends later is not seen: to look at the socket, as redis-py's ``can_read`` does, takes a tenth of a
    whole exchange. Then the check of an entry fails, and the connection is not used again either.
    """
    # Of redis-py's parser and of hiredis' reader below it; redis-py itself asks it in the same way.
    try:
        return connection._parser._reader.has_data()  # type: ignore[no-any-return]
    except AttributeError:  # a parser without it
        return False


def as_reply(error: ResponseError) -> ResponseError:
    """An error of the server as the reply that it is.

    Raises a BUSY: a server that runs a long script refuses every command, so the server fails and not the command.
    """
    if str(error).startswith("BUSY "):
        raise error
    # The frames of its traceback hold the error, and the variables of all callers: without this, a closed cache and its
    # reranker would stay in memory until the garbage collector comes.
    return error.with_traceback(None)


def packed(commands: Iterable[Command]) -> bytes:
    """The bytes of commands, to be sent at once."""
    # The function that redis-py uses too, after it has looked at the type of every argument.
    return b"".join(map(pack_command, commands))  # type: ignore[arg-type] # its stub says tuples of one
