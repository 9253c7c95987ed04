"""The result of a check, and the rule that a check neither hangs nor raises."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from semcache.causes import cause_of
from semcache.errors import DeadlineExceededError, SemcacheError
from semcache.runtime.threads import ThreadPool


class Verdict(StrEnum):
    """How a check ended. Only a fault makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's finding, and the remedy, which is empty where nothing is to be done."""

    check: str
    verdict: Verdict
    seen: str
    remedy: str = ""


def checked(check: str, look: Callable[[], Finding], limit_s: float) -> Finding:
    """The finding of a check, or a fault that says why there is none; comes after ``limit_s`` seconds at the latest.

    Ctrl-C passes through.
    """
    try:
        # A thread of its own: some waits, such as that for a name server, cannot be bounded in another way.
        return ThreadPool(1, "semcache-doctor", idle_s=0).call(look, check, limit_s)
    except DeadlineExceededError:
        return Finding(
            check, Verdict.FAULT, f"no result within {limit_s:g} s", "find out what hangs there, and look again"
        )
    except SemcacheError as error:
        return failed(check, error)
    # Models and their libraries raise anything, and a traceback would end the checks that are left.
    except Exception as error:  # noqa: BLE001
        return Finding(check, Verdict.FAULT, cause_of(error), "correct it, and look again")


def failed(check: str, error: SemcacheError) -> Finding:
    """The fault that an error of semcache tells of: its sentence ends with the remedy."""
    seen, _, remedy = str(error).rpartition("; ")
    return Finding(check, Verdict.FAULT, seen, remedy) if seen else Finding(check, Verdict.FAULT, remedy)
