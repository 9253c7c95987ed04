"""The jobs that wait for a model, in order of arrival, and found by their pairs when a call gives scores of these."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from semcache.batching.jobs import Batch, Job
from semcache.protocols import Pair


class WaitingJobs:
    """Jobs in order of arrival, and ``pairs``, the number of theirs. It has no lock.

    Single flight: a pair that is in the model already is not asked again for a job that came meanwhile. The job waits
    for that call, and is asked about what the call did not answer.
    """

    def __init__(self) -> None:
        self.pairs = 0
        # A dictionary for its order, and because one from the middle is taken out at once.
        self._jobs: dict[Job, None] = {}
        self._by_pair: dict[Pair, dict[Job, None]] = {}

    def append(self, job: Job) -> None:
        """Let a job wait behind the others. TypeError, and nothing changed, for pairs that are no pairs of texts."""
        for pair in job.pairs:
            hash(pair)
        self._jobs[job] = None
        self.pairs += len(job.pairs)
        for pair in job.pairs:
            self._by_pair.setdefault(pair, {})[job] = None

    def remove(self, job: Job) -> None:
        """Take a job out."""
        del self._jobs[job]
        self.pairs -= len(job.pairs)
        # Distinct ones, as a job may hold a pair twice.
        for pair in set(job.pairs):
            jobs = self._by_pair[pair]
            del jobs[job]
            if not jobs:
                del self._by_pair[pair]

    def first(self, most: int, running: Sequence[Batch]) -> list[Job]:
        """The first ``most`` jobs that are not answered by a call that is running."""
        return list(islice((job for job in self._jobs if not _is_answered_by(job, running)), most))

    def learn(self, scores: Mapping[Pair, float]) -> list[Job]:
        """Tell the jobs that wait what a call gave, and give those that know all of their scores now."""
        told: dict[Job, None] = {}
        for pair in scores.keys() & self._by_pair.keys():
            for job in self._by_pair[pair]:
                job.known[pair] = scores[pair]
                told[job] = None
        return [job for job in self._jobs if job in told and not job.unknown] if told else []

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: Job) -> bool:
        return job in self._jobs


def distinct(jobs: Iterable[Job]) -> frozenset[Pair]:
    """The pairs that a call for these jobs has to be asked about."""
    return frozenset(pair for job in jobs for pair in job.unknown)


def _is_answered_by(job: Job, running: Sequence[Batch]) -> bool:
    # By one call as a whole: a job that waited for several of them would wait for the slowest.
    return any(all(pair in batch.asked for pair in job.unknown) for batch in running)
