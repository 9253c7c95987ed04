"""Numbers of things, bytes and seconds in words."""


def memory(number: float) -> str:
    """A number of bytes with the unit that fits it.

    Example:
        >>> memory(2_200_000)
        '2.1 MiB'
    """
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:.0f} bytes"


def span(seconds: float) -> str:
    """A number of seconds in words.

    Example:
        >>> span(4000)
        '1.1 hours'
    """
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def count(number: int, one: str, many: str) -> str:
    """A number with its noun.

    Example:
        >>> count(1, "entry", "entries"), count(2000, "entry", "entries")
        ('1 entry', '2,000 entries')
    """
    return f"{number:,} {one if number == 1 else many}"


def entries(number: int) -> str:
    """A number of entries."""
    return count(number, "entry", "entries")
