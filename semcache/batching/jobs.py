"""One caller's pairs on their way through a batcher, settled exactly once."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from semcache.errors import DeadlineExceededError
from semcache.protocols import FloatArray, Pair


@dataclass(frozen=True, slots=True)
class Served:
    """What became of a job in the model: scored, failed, or (without service time and error) it never got there.

    ``service_s`` is the time of the model's call that scored it, ``pairs`` how many pairs that call carried.
    """

    service_s: float | None = None
    pairs: int = 0
    error: BaseException | None = None


NEVER_RUN = Served()


@dataclass(slots=True, eq=False)
class Job:
    """One caller's pairs. Times are of the queue's clock."""

    pairs: tuple[Pair, ...]
    arrived: float
    deadline: float | None
    on_served: Callable[[Served], None]
    future: Future[FloatArray] = field(default_factory=Future)
    has_left: bool = False

    def give(self, scores: FloatArray, served: Served) -> None:
        """Settle with scores. Whoever keeps count is told before the caller is, who may look at the count."""
        self.on_served(served)
        self.future.set_result(scores)

    def fail(self, error: BaseException, served: Served = NEVER_RUN) -> None:
        """Settle with an error."""
        self.on_served(served)
        self.future.set_exception(error)


@dataclass(slots=True, eq=False)
class Batch:
    """Jobs in the model, and since when."""

    jobs: list[Job]
    pairs: int
    since: float


@dataclass(frozen=True, slots=True)
class Taken:
    """What a worker has to do: the batch to score, and the jobs that came out of the queue too late for it."""

    batch: Batch | None
    expired: tuple[Job, ...]
    cancelled: tuple[Job, ...]


def expire(job: Job) -> None:
    """Settle a job whose deadline passed while it waited."""
    job.fail(DeadlineExceededError("the deadline passed while the request waited for the reranker"))
