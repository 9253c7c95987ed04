"""How commands are packed and replies are taken on one of redis-py's connections, for threads and for event loops."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from hiredis import pack_command
from redis.exceptions import InvalidResponse, MasterDownError, ReadOnlyError, ResponseError

from semcache.causes import cause_of
from semcache.redis.client.commands import Command

RENEWAL_S = 0.5
"""A connection to a server that says that it is a replica is opened anew this often, in seconds."""


def is_used_up(connection: Any) -> bool:
    """Whether a connection was closed, or received something behind the last reply: later replies would be off by one.

    What the server sends later is not seen: to look at the socket, as redis-py's ``can_read`` does, takes a tenth of a
    whole exchange. Then the check of an entry fails, and the connection is not used again either.
    """
    # Of redis-py's parser and of hiredis' reader below it; redis-py itself asks it in the same way.
    try:
        return connection._parser._reader.has_data()  # type: ignore[no-any-return]
    except AttributeError:  # a parser of another kind, or one whose connection was closed
        return not connection.is_connected


def is_of_replica(error: ResponseError) -> bool:
    """Whether a server says that it is a replica. After a failover its address may lead to another one by now.

    No server closes its connections when it becomes a replica, so that they would lead there for ever.
    """
    return isinstance(error, ReadOnlyError | MasterDownError)


def as_reply(error: ResponseError) -> ResponseError:
    """An error of the server as the reply that it is.

    Raises a BUSY: a server that runs a long script refuses every command, so the server fails and not the command.
    """
    if str(error).startswith("BUSY "):
        raise error
    # The frames of its traceback hold the error, and the variables of all callers: without this, a closed cache and its
    # reranker would stay in memory until the garbage collector comes.
    return error.with_traceback(None)


NO_VALUE = (TypeError, ValueError)
"""The errors of reading where no value of Python can be made of a reply: one bit makes of a string a map with lists for
names, or of a number a word."""


def as_invalid(error: Exception) -> InvalidResponse:
    """The error for a reply of which no value can be made."""
    return InvalidResponse(cause_of(error))


def packed(commands: Iterable[Command]) -> bytes:
    """The bytes of commands, to be sent at once."""
    # The function that redis-py uses too, after it has looked at the type of every argument.
    return b"".join(map(pack_command, commands))  # type: ignore[arg-type] # its stub says tuples of one


def packed_for_shards(commands: Iterable[Command]) -> bytes:
    """``packed`` for commands that several servers get at once, each with an index of its own."""
    return b"".join([_packed_search(one) if one[0] == "FT.SEARCH" else pack_command(one) for one in commands])  # type: ignore[arg-type]


def _packed_search(command: Command) -> bytes:
    # Between the index and the vector, its last argument, a search is the same for all servers and nearly all requests.
    # To pack its twenty arguments takes 6 us for each server, and a third of that this way.
    count, vector = len(command), command[-1]
    if not isinstance(vector, bytes):
        return packed((command,))
    return b"*%d\r\n%b%b$%d\r\n%b\r\n" % (
        count,
        _packed_arguments(command[:2]),
        _packed_arguments(command[2:-1]),
        len(vector),
        vector,
    )


@lru_cache(maxsize=1024)
def _packed_arguments(arguments: Command) -> bytes:
    """Arguments as they stand within a command, which begins with their number."""
    return packed((arguments,)).partition(b"\r\n")[2]
