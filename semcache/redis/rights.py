"""The rights that semcache needs of a Redis user, and no others."""

from semcache.redis.keys import namespace_prefix

RIGHTS = (
    ("eval", "evalsha", "get", "getrange", "hgetall", "unlink"),
    ("pttl", "pexpire", "set", "strlen", "append", "hget", "hset", "hdel", "hincrby", "hincrbyfloat", "del"),
    ("ft.search", "ft.create", "ft.info"),
    ("ft.aggregate", "dbsize"),
    ("scan", "ft.dropindex"),
    ("role", "client|setinfo"),
    ("cluster|slots", "asking", "readonly", "ft._list"),
)
"""Commands, in groups that docs/redis.md explains; the first three groups are needed by every request."""


def acl_rules(namespace: str | None, user: str = "semcache") -> str:
    """The arguments of ACL SETUSER, on several lines, for a user of one namespace (None: of all).

    ``>password`` stands for the password.

    Raises ConfigurationError for an impossible namespace.

    Example:
        >>> print("ACL", "SETUSER", acl_rules("docs"))
    """
    keys = "semcache:*" if namespace is None else f"{namespace_prefix(namespace)}*"
    lines = [f"{user} on >password resetkeys resetchannels -@all ~{keys}"]
    lines += [" ".join(f"+{command}" for command in group) for group in RIGHTS]
    return "\n  ".join(lines)
