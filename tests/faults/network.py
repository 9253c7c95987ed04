"""Faults between the client and the server."""

from collections.abc import Iterator
from typing import Any

from tests.faults.fault import AWAY, LONG_S, Fault
from tests.faults.world import World

_SEEN = ("CacheUnavailable", "CacheFailed", "EntryDamaged")


def _changed(name: str, tells: tuple[str, ...], **fields: Any) -> Fault:
    lasts_s = LONG_S if {"frozen", "delay_s", "byte_s", "jitter_s"} & set(fields) else 0.0
    return Fault(name, "network", lambda world: world.proxy.change(**fields), _heal, tells=tells, lasts_s=lasts_s)


def _heal(world: World) -> None:
    world.proxy.heal()


def _listens(name: str, how: str) -> Fault:
    return Fault(
        name,
        "network",
        lambda world: world.proxy.listen(how),
        lambda world: world.proxy.listen("yes"),
        tells=AWAY,
        lasts_s=LONG_S if how == "wait" else 0.0,
    )


def network_faults() -> Iterator[Fault]:
    """All of them."""
    yield _changed("black hole: no reply ever comes", AWAY, frozen=True)
    yield _listens("black hole: no connection is accepted", "wait")
    yield _listens("connections refused", "refuse")
    # 10 ms is little enough that requests may be served all the same.
    yield _changed("replies after 10 ms", (), delay_s=0.01)
    for delay in (50, 200, 500):
        yield _changed(f"replies after {delay} ms", AWAY, delay_s=delay / 1000)
    yield _changed("replies after 0 to 100 ms", _SEEN, jitter_s=0.1)
    yield _changed("replies cut off in the middle", _SEEN, cut=True)
    yield _changed("replies a byte at a time, each after 20 ms", AWAY, byte_s=0.02)
    yield _changed("replies are garbage", _SEEN, garbage=True)
    yield _changed("a bit flipped in one of three replies", _SEEN, flips=0.33)
    # What is left over is mostly seen before the next command, which then gets another connection.
    yield _changed("replies come twice, six times", (), twice=6)
    yield _changed("a reply to no command, six times", (), stray=6)
    yield Fault(
        "connections are ended all the time",
        "network",
        lambda world: world.again_and_again(lambda _: world.proxy.end_connections(), 0.05),
        lambda world: world.later.close(),
    )
