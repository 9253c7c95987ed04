"""Translates redis-py's errors into semcache's, with the remedy and without any password."""

import re
from collections.abc import Iterable
from ssl import SSLCertVerificationError, SSLError

from redis import exceptions

from semcache.causes import message_of
from semcache.errors import StoreError, StoreUnavailableError, TransientStoreError
from semcache.redis.client.sentinel import PrimaryNotKnownError, ReplicaNotKnownError, ServiceNotWatchedError

FOREIGN = (exceptions.RedisError, OSError)
"""The errors that redis-py raises: its own, and sometimes one of the operating system for the socket."""

CLUSTER = (
    *(exceptions.ClusterCrossSlotError, exceptions.AskError, exceptions.TryAgainError),  # MovedError is an AskError
    exceptions.ClusterDownError,
)
"""Answers of a server in cluster mode alone."""

# By the beginning of a command that the server does not know.
_UNKNOWN_COMMANDS = {
    "get": "{where} stores nothing: {message}; if it is a Sentinel, write redis+sentinel://host:port/service",
    "eval": "{where} has no scripting: {message}; entries are written by Lua scripts, so let the server keep EVAL and "
    "EVALSHA",
    "ft": "{where} has no search module: {message}; use Redis 8 or Redis Stack, or the url 'embedded' "
    "(pip install 'redis-semcache[embedded]')",
}

_UNTRUSTED = (
    "the certificate of {where} is not trusted: {message}; name the file of the authority that signed it in the Redis "
    "url, ?ssl_ca_certs=/path/to/ca.pem"
)

_OF_ANOTHER_NAME = (
    "the certificate of {where} is for another name: {message}; write the name that it was issued for in the Redis url"
)
_NO_TLS = "{where} speaks no TLS at this port: {message}; write redis:// in place of rediss://"
_NO_TLS_REASONS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
"""OpenSSL's, for an answer that is no TLS: of version 3.0, and of 3.2 and later."""
_NAME_CODES = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""

# The first row that fits counts. Refused passwords and a server that loads stand above ConnectionError, which they are
# subclasses of, and so does a replica without its primary above answers of a cluster.
_TRANSLATIONS: tuple[tuple[tuple[type[BaseException], ...], type[StoreError], str], ...] = (
    (
        (exceptions.AuthenticationError, exceptions.AuthorizationError),
        StoreError,
        "{where} refused the user name or password: {message}; correct them in the Redis url (at Sentinels also "
        "?sentinel_password=)",
    ),
    (
        (exceptions.MaxConnectionsError,),
        StoreError,
        "{where}: {message}; more calls at once than the connection pool allows",
    ),
    (
        (ServiceNotWatchedError,),
        StoreError,
        "{where}: {message}; name one of them behind the hosts, redis+sentinel://host:port/service",
    ),
    (
        (PrimaryNotKnownError,),
        StoreUnavailableError,
        "{where}: {message}; it is looked for again until the Sentinels have chosen another",
    ),
    (
        (ReplicaNotKnownError,),
        StoreUnavailableError,
        "{where}: {message}; until there is one the primary answers alone",
    ),
    (
        (exceptions.TimeoutError, TimeoutError),
        StoreUnavailableError,
        "{where} did not answer in time: {message}; check that the server is not overloaded, or raise redis.timeout_s",
    ),
    (
        (exceptions.BusyLoadingError,),
        StoreUnavailableError,
        "{where} has just started: {message}; it answers when it has read its files",
    ),
    (
        (exceptions.ConnectionError, OSError),
        StoreUnavailableError,
        "{where} cannot be reached: {message}; check that Redis runs and the url is right",
    ),
    (
        # Also of a program that is no Redis at all, which is nothing to wait for. But one broken reply looks the same.
        (exceptions.InvalidResponse,),
        StoreUnavailableError,
        "{where} gave bytes that are no reply of Redis: {message}; check that Redis listens there",
    ),
    (
        (exceptions.OutOfMemoryError,),
        TransientStoreError,
        "{where} is full: {message}; raise maxmemory, or set maxmemory-policy to allkeys-lru",
    ),
    (
        (exceptions.ReadOnlyError,),
        TransientStoreError,
        "{where} is a read-only replica: {message}; use the url of the primary",
    ),
    (
        (exceptions.MasterDownError,),
        TransientStoreError,
        "{where} is a replica that has lost its primary: {message}; use the url of the primary",
    ),
    (
        CLUSTER,
        StoreError,
        "{where} was one server when it was first asked, and is a node of a Redis Cluster now: {message}; start this "
        "process anew, so that it asks the whole cluster",
    ),
)

# Of a server that Sentinels name, there is no url to correct.
_OF_SENTINELS: tuple[tuple[tuple[type[BaseException], ...], type[StoreError], str], ...] = (
    (
        (exceptions.ReadOnlyError, exceptions.MasterDownError),
        TransientStoreError,
        "{where} has just become a replica: {message}; its connections are opened anew as soon as the Sentinels name "
        "the server that takes its place",
    ),
)

# Answers that redis-py has no class for, by their first word. All of them pass.
_CODES = {
    "BUSY": "{where} is held up by a script: {message}",
    "MISCONF": "{where} refuses writes: {message}; see in its log why it cannot save",  # it cannot save to disk
    "NOREPLICAS": "{where} refuses writes: {message}; min-replicas-to-write asks for more replicas than there are",
}

_UNEXPLAINED = "answered with an error"
_MISSING_INDEX = ("no such index", "unknown index name", "index_not_found")


def translated(error: BaseException, where: str) -> StoreError:
    """Our error for one of redis-py's. ``where`` names the server without its password."""
    if isinstance(error, exceptions.ConnectionError) and isinstance(error.__cause__, exceptions.RedisError):
        # The asynchronous client reports a refused password as a connection error that was caused by it.
        error = error.__cause__
    if is_denial(error):
        return denied([error], where)
    # A server that does not know a command repeats its arguments: hashes and bytes, which say nothing to a reader.
    message = message_of(error).partition(", with args beginning with")[0]
    if isinstance(error.__context__, SSLError) and (refusal := _refusal_of_tls(error.__context__, where)):
        return refusal
    for kinds, ours, text in (*(_OF_SENTINELS if "+sentinel://" in where else ()), *_TRANSLATIONS):
        if isinstance(error, kinds):
            return ours(text.format(where=where, message=message))
    if text := _CODES.get(message.partition(" ")[0], ""):
        return TransientStoreError(text.format(where=where, message=message))
    if missing := re.match(r"unknown command\W+(ft|eval|get)", message, re.IGNORECASE):
        return StoreError(_UNKNOWN_COMMANDS[missing[1].lower()].format(where=where, message=message))
    return StoreError(f"{where} {_UNEXPLAINED}: {message}")


def _refusal_of_tls(error: SSLError, where: str) -> StoreError | None:
    """The error for a certificate that is not accepted, or a server without TLS; None for another trouble of TLS."""
    if isinstance(error, SSLCertVerificationError):
        text = _OF_ANOTHER_NAME if error.verify_code in _NAME_CODES else _UNTRUSTED
        return StoreError(text.format(where=where, message=error.verify_message.rstrip(".")))
    if error.reason in _NO_TLS_REASONS:
        return StoreUnavailableError(_NO_TLS.format(where=where, message=message_of(error)))
    return None


def is_unexplained(error: StoreError) -> bool:
    """Whether an error of the server has words that are not known here."""
    return _UNEXPLAINED in str(error)


def is_missing_index(reply: object) -> bool:
    """Whether a reply says that the index does not exist. Each version of the search module words it differently."""
    return isinstance(reply, exceptions.ResponseError) and any(words in str(reply).lower() for words in _MISSING_INDEX)


def is_denial(reply: object) -> bool:
    """Whether a reply says that the user lacks a right, for a command or inside a script."""
    return isinstance(reply, exceptions.NoPermissionError) or str(reply).startswith("ACL failure in script")


def denied(errors: Iterable[BaseException], where: str) -> StoreError:
    """One error for denials of several commands, which names each of them and how to allow them all."""
    messages = [message_of(error) for error in errors]
    text = " ".join(messages)
    user = re.search(r"User (\S+) has no permissions", text)
    commands = dict.fromkeys(re.findall(r"to run the '([^']+)' command", text))
    rules = [f"+{command}" for command in commands]
    if any("key" in message and "to run" not in message for message in messages):
        rules.append("~semcache:*")
    if not rules:
        return StoreError(f"{where}: {'; '.join(messages)}; give this user the rights that semcache needs")
    names = [*commands, *(["the keys semcache:*"] if rules[-1].startswith("~") else [])]
    return StoreError(
        f"{where}: the user has no permissions for {', '.join(names)}; allow them with "
        f"ACL SETUSER {user[1] if user else '<user>'} {' '.join(rules)}"
    )
