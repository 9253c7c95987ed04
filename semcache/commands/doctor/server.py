"""Checks of a Redis that answers: what it is, what it allows, how much it holds and how quick it is."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from semcache.commands.doctor.finding import Finding, Verdict, failed
from semcache.flow.drive import drive
from semcache.redis.client.commands import Command
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.failures import denied, is_denial, is_missing_index
from semcache.redis.client.node import ROUND_TRIPS, NodeConnection
from semcache.redis.client.server_info import version_of_module
from semcache.redis.index import as_dict, check_index
from semcache.redis.operation import StoreState, value_of
from semcache.redis.preflight import preflight

_PINGS = 20
_FULL = 0.9
"""Share of maxmemory from which a server that evicts nothing counts as nearly full: time is left to act."""
_CLOCK_S = 5.0
"""Decisions of ``semcache breaker`` end by the clock of each process, and processes follow within so many seconds."""


@dataclass(frozen=True, slots=True)
class Server:
    """A Redis that answers, and how semcache lays out its entries there. ``budget_s`` is what a request may wait."""

    connection: RedisConnection
    state: StoreState
    budget_s: float
    expires: bool

    def checks(self) -> Mapping[str, Callable[[], Finding]]:
        """All checks by their names, in the order in which one explains the next."""
        return {
            "server": self.kind,
            "role": self.role,
            "search module": self.search_module,
            "scripting": self.scripting,
            "rights": self.rights,
            "index": self.index,
            "memory": self.memory,
            "clock": self.clock,
            "latency": self.latency,
        }

    def kind(self) -> Finding:
        """The program and its version."""
        info = self._info("server")
        if info is None:
            return _not_seen("server", "info")
        name = info.get("server_name", "redis")
        version = info.get(f"{name}_version", info.get("redis_version", "of an unknown version"))
        return Finding("server", Verdict.OK, f"{name} {version}, {info.get('redis_mode', 'standalone')}")

    def role(self) -> Finding:
        """Whether it takes writes."""
        (reply,) = self._ask(("ROLE",))
        if is_denial(reply):
            return _not_seen("role", "role")
        match value_of(reply, self.connection.where):
            case [b"slave", bytes(host), port, *_]:
                primary = f"{host.decode(errors='replace')}:{port}"
                return Finding(
                    "role", Verdict.FAULT, "a read-only replica", f"use the url of its primary, which is at {primary}"
                )
            case [bytes(role), *_] if role != b"master":
                return Finding("role", Verdict.FAULT, f"a {role.decode()}", "use the url of the primary")
        return Finding("role", Verdict.OK, "a primary, database 0")

    def search_module(self) -> Finding:
        """Whether there is vector search, and its version."""
        # By the connection and not one node: in a cluster the name of an index belongs to a shard.
        (reply,) = self.connection.execute((("FT.INFO", self.state.layout.keys.preflight_index("doctor")),))
        if not is_denial(reply) and not is_missing_index(reply):
            value_of(reply, self.connection.where)
        modules = self._info("modules")
        version = "" if modules is None else _search_version(modules)
        return Finding("search module", Verdict.OK, f"search {version}".rstrip())

    def scripting(self) -> Finding:
        """Whether Lua scripts run."""
        value_of(self._ask(("EVAL", "return 1", 0))[0], self.connection.where)
        (reply,) = self._ask(("EVALSHA", "0" * 40, 0))
        if not str(reply).upper().startswith(("NOSCRIPT", "NO MATCHING SCRIPT")):
            value_of(reply, self.connection.where)
        return Finding("scripting", Verdict.OK, "EVAL and EVALSHA run")

    def rights(self) -> Finding:
        """Whether all commands of a request work on keys of the namespace, and those of forgetting are allowed."""
        drive(preflight(self.state), self.connection.execute)
        missing = self.state.layout.keys.preflight_index("doctor")
        tried: tuple[Command, ...] = (
            ("SCAN", 0, "COUNT", 1),
            ("DBSIZE",),
            ("FT.AGGREGATE", missing, "*"),
            ("FT.DROPINDEX", missing),
        )
        denials = [reply for reply in self._ask(*tried) if is_denial(reply)]
        if not denials:
            return Finding("rights", Verdict.OK, "keys were written, read and removed as a request does it")
        found = failed("rights", denied(denials, self.connection.where))
        return replace(found, verdict=Verdict.WARNING, seen=f"requests work, but forgetting does not: {found.seen}")

    def index(self) -> Finding:
        """Whether the index is finished and took all entries. Raises IndexMismatchError if it does not fit."""
        layout = self.state.layout
        seen = []
        for family in (layout.keys.plain, layout.keys.named):
            (reply,) = self.connection.execute((("FT.INFO", family.index),))
            if is_missing_index(reply):
                continue
            info = as_dict(self.state.value(reply))
            check_index(family.index, layout.attributes, reply)
            if failures := int(info.get("hash_indexing_failures", 0)):
                remedy = "find out what else writes hashes under its keys, and take another namespace for that"
                return Finding("index", Verdict.WARNING, f"{family.index} refused {failures} hashes", remedy)
            done = float(info.get("percent_indexed", 1))
            if done < 1:
                seen_part = f"{family.index} is indexing, {done:.0%} are done"
                return Finding("index", Verdict.WARNING, seen_part, "wait; searches see only that part until then")
            seen.append(f"{family.index} with {info.get('num_docs', '?')} entries of {layout.vectors.dims} dims")
        return Finding("index", Verdict.OK, "; ".join(seen) or "none yet; the first cache creates it")

    def memory(self) -> Finding:
        """Whether there is a limit, how much of it is used, and what happens when it is full; of the fullest shard."""
        infos = [self._info("memory", node) for node in self.connection.nodes]
        known = [info for info in infos if info is not None]
        if len(known) < len(infos):
            return _not_seen("memory", "info")
        return memory_finding(max(known, key=_used_share), expires=self.expires)

    def clock(self) -> Finding:
        """Whether this machine and the server agree about the time."""
        began = time.time()
        (reply,) = self._ask(("TIME",))
        if is_denial(reply):
            return _not_seen("clock", "time")
        seconds, micros = value_of(reply, self.connection.where)
        return clock_finding(int(seconds) + int(micros) / 1e6 - (began + time.time()) / 2)

    def latency(self) -> Finding:
        """How long the slowest node takes to answer."""
        return latency_finding(max(map(self._median_s, self.connection.nodes)), self.budget_s)

    def _median_s(self, node: NodeConnection) -> float:
        seconds = []
        for _ in range(_PINGS):
            began = time.perf_counter()
            # GET and not PING, which a user with the rights of ``semcache redis acl`` may not send.
            node.execute((("GET", self.state.layout.keys.preflight("o", "doctor")),))
            seconds.append(time.perf_counter() - began)
        return median(seconds)

    def _ask(self, *commands: Command) -> list[Any]:
        replies: list[Any] = self.connection.nodes[0].execute(commands)
        return replies

    def _info(self, section: str, node: NodeConnection | None = None) -> Mapping[str, str] | None:
        """A section of INFO; None where the user may not ask for it."""
        (reply,) = (node or self.connection.nodes[0]).execute((("INFO", section),))
        if is_denial(reply):
            return None
        lines = value_of(reply, self.connection.where).decode(errors="replace").splitlines()
        # The lines of modules begin alike; the search module's own name tells it from the others.
        pairs = (line.replace(",ver=", ":", 1).rsplit(":", 1) for line in lines if ":" in line)
        return dict(pairs)


def memory_finding(info: Mapping[str, str], *, expires: bool) -> Finding:
    """The finding about the limit, as INFO memory tells it. ``expires``: entries have a time to live.

    Example:
        >>> memory_finding({"maxmemory": "100", "used_memory": "50", "maxmemory_policy": "allkeys-lru"}, expires=True)
        Finding(check='memory', verdict=<Verdict.OK: 'ok'>, seen='50 % of 100 bytes used, allkeys-lru', remedy='')
    """
    limit, policy = int(info.get("maxmemory", 0)), info.get("maxmemory_policy", "an unknown policy")
    if not limit:
        used = _bytes(int(info.get("used_memory", 0)))
        remedy = "set maxmemory to what semcache size says, and maxmemory-policy to allkeys-lru"
        return Finding("memory", Verdict.WARNING, f"{used} used, and there is no limit (maxmemory 0)", remedy)
    seen = f"{_used_share(info):.0%} of {_bytes(limit)} used, {policy}".replace("%", " %")
    evict = "set maxmemory-policy to allkeys-lru, so that old entries make room"
    if policy == "noeviction":
        full = "; nothing is stored when it is full" if _used_share(info) < _FULL else "; it is full or nearly so"
        return Finding("memory", Verdict.WARNING, seen + full, f"{evict}, or raise maxmemory")
    if policy.startswith("volatile-") and not expires:
        return Finding("memory", Verdict.WARNING, f"{seen}; entries do not expire, so none is evicted", evict)
    return Finding("memory", Verdict.OK, seen)


def clock_finding(apart_s: float) -> Finding:
    """The finding about a server whose clock is ``apart_s`` seconds before this machine's."""
    if abs(apart_s) > _CLOCK_S:
        seen = f"the server's clock is {apart_s:+.1f} s off this machine's"
        return Finding("clock", Verdict.WARNING, seen, "let both follow a time server (NTP)")
    return Finding("clock", Verdict.OK, f"{abs(apart_s) * 1000:.0f} ms apart")


def latency_finding(median_s: float, budget_s: float) -> Finding:
    """The finding about a median time of an answer, for requests that may wait ``budget_s`` seconds for all of them."""
    seen = (
        f"{median_s * 1000:.2f} ms, the median of {_PINGS}; a request may wait {budget_s * 1000:g} ms for all of them"
    )
    enough_s = ROUND_TRIPS * median_s
    if enough_s <= budget_s:
        return Finding("latency", Verdict.OK, seen)
    remedy = (
        f"use a Redis nearer to here, or set redis.budget_s (SEMCACHE_REDIS__BUDGET_S) to {1.5 * enough_s:.2g} or more"
    )
    is_fault = median_s > budget_s
    return Finding("latency", Verdict.FAULT if is_fault else Verdict.WARNING, f"{seen}; Redis is left alone", remedy)


def _used_share(info: Mapping[str, str]) -> float:
    return int(info.get("used_memory", 0)) / max(1, int(info.get("maxmemory", 0)))


def _bytes(number: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} bytes"


def _search_version(modules: Mapping[str, str]) -> str:
    text = next((rest for name, rest in modules.items() if name == "module:name=search"), "")
    number = text.partition(",")[0]
    return version_of_module(int(number)) if number.isdigit() else ""


def _not_seen(check: str, command: str) -> Finding:
    return Finding(check, Verdict.SKIPPED, f"the user may not run {command.upper()}", f"to see it, allow +{command}")
