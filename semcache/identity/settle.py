"""Decides which scope a scorer's answers belong to: a generator without I/O, which asks for answers and records.

Everything under one name shares one scope, if it is the same thing. The answers to the probes are compared with the
records that the namespace keeps under the name, in the order in which they came:

- PROBE: the scope is the name and the id of the first record that the answers resemble; where there is none, they
  become a record. The id is made of the answers alone, so a record that was evicted comes back under the same id, and
  never under that of another scorer.
- CONTENT: the first record belongs to the bare name. A model that resembles another one, or none, is not what its name
  says, and goes to a scope of its own.

Where nothing can be known (the scorer gives all probes one score, or never repeats itself) the scope is private: a
random one, which no other process will ever read.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from semcache.errors import StoreError
from semcache.identity.behaviour import MOST_NOISE, Behaviour
from semcache.identity.kinds import IdentifiedBy

MOST_RECORDS = 64
"""Under one name. A scorer that answers differently in every process would add one at each start."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The scorer's answers to the probes."""


@dataclass(frozen=True, slots=True)
class ReadRecords:
    """The records under the base name, of this length, in the order in which they came. May raise StoreError."""

    base: str
    length: int


@dataclass(frozen=True, slots=True)
class AddRecord:
    """All records under the base name, after this one was added. May raise StoreError."""

    base: str
    record: bytes


Step = Ask | ReadRecords | AddRecord


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where scores belong. ``scope`` None: nowhere but in a private scope.

    ``reason`` is that of an IdentityChanged; None says that the scope is what was to be expected. ``unread`` is the
    error of a Redis that could not be asked: then the verdict is provisional, and ``answers`` are for the next try.
    """

    scope: str | None
    reason: str | None = None
    detail: str = ""
    answers: Behaviour | None = None
    unread: StoreError | None = None


def settle(kind: IdentifiedBy, base: str, answers: Behaviour | None = None) -> Generator[Step, Any, Verdict]:
    """The verdict about a scorer of this kind and base name. ``answers`` are those that it gave already."""
    is_probed = kind is IdentifiedBy.PROBE
    # What is known by its content needs no answers to be known.
    unknown = None if is_probed else base
    if answers is None:
        answers = yield Ask()
    if answers.own_noise > MOST_NOISE:
        return _unrepeatable(unknown)
    if answers.says_nothing:
        return Verdict(unknown, "uninformative", "gives all probes the same score, or leaves their order as it was")
    try:
        found = yield from _found(base, answers)
    except StoreError as error:
        return Verdict(f"{base}~{answers.id()}" if is_probed else base, answers=answers, unread=error)
    if found is None:
        return _unrepeatable(unknown)
    scope = f"{base}~{found.id}" if is_probed or not found.is_first else base
    if not found.is_first and (found.is_new or not is_probed):
        return Verdict(scope, "different", "does not answer the probes as the first one of this name did")
    return Verdict(scope)


class _Found(NamedTuple):
    """The record that answers belong to: its id, whether it came first, and whether it came now."""

    id: str
    is_first: bool
    is_new: bool


def _found(base: str, answers: Behaviour) -> Generator[Step, Any, _Found | None]:
    """The first record like the answers, which are added if there is none; None if they cannot be repeated."""
    records = yield ReadRecords(base, len(answers.packed))
    place = first_like(answers, records)
    if place is None and records:
        # Before it is called different, it is asked again: it may be no better at repeating itself.
        noise = answers.noise((yield Ask()))
        if noise > MOST_NOISE:
            return None
        answers = answers.tolerating(noise)
        place = first_like(answers, records)
    is_new = place is None
    if is_new and len(records) < MOST_RECORDS:
        records = yield AddRecord(base, answers.packed)
        # Another process may have added a like record a moment earlier: the first of them counts for both.
        place = first_like(answers, records)
    return _Found((answers if place is None else answers.of(records[place])).id(), place == 0, is_new)


def _unrepeatable(scope: str | None) -> Verdict:
    return Verdict(scope, "unrepeatable", "gives other answers each time that it is asked about the same probes")


def first_like(answers: Behaviour, records: Sequence[bytes]) -> int | None:
    """The place of the first record that the answers resemble."""
    return next((place for place, record in enumerate(records) if answers.resembles(record)), None)
