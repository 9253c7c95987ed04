"""The jobs that wait for a model, in order of arrival, and found by their pairs when a call gives scores of these."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from semcache.batching.jobs import Batch, Job
from semcache.batching.plan import PairOf
from semcache.batching.tenants import RecentTenants


class WaitingJobs:
    """Jobs in order of arrival, and ``pairs``, the number of theirs. It has no lock.

    Single flight: a pair that is in the model already is not asked again for a job of the same tenant that came
    meanwhile. The job waits for that call, and is asked about what the call did not answer.
    """

    def __init__(self) -> None:
        self.pairs: int = 0
        # A dictionary for its order, and because one from the middle is taken out at once.
        self._jobs: dict[Job, None] = {}
        self._by_pair: dict[PairOf, dict[Job, None]] = {}
        # Of each tenant that has jobs here, the numbers of pairs and of jobs.
        self._of_tenant: dict[str | None, tuple[int, int]] = {}
        self._recent = RecentTenants()

    def append(self, job: Job) -> None:
        """Let a job wait behind the others. TypeError, and nothing changed, for pairs that are no pairs of texts."""
        for pair in job.pairs:
            hash(pair)
        self._jobs[job] = None
        self._count(job, 1)
        for pair in job.pairs:
            self._by_pair.setdefault((job.tenant, pair), {})[job] = None

    def remove(self, job: Job) -> None:
        """Take a job out."""
        del self._jobs[job]
        self._count(job, -1)
        # Distinct ones, as a job may hold a pair twice.
        for pair in set(job.pairs):
            jobs = self._by_pair[job.tenant, pair]
            del jobs[job]
            if not jobs:
                del self._by_pair[job.tenant, pair]

    def own(self, tenant: str | None, now: float) -> tuple[int, int]:
        """How many pairs and jobs wait of a tenant that has a request now; none if there are no other tenants."""
        # Also noted if the request is refused: a tenant that is refused because of another is there all the same.
        self._recent.note(tenant, now)
        return self._of_tenant.get(tenant, (0, 0)) if self._recent.has_others(tenant, now) else (0, 0)

    def first(self, most: int, running: Sequence[Batch], later: Collection[str | None] = ()) -> list[Job]:
        """The first ``most`` jobs that are not answered by a call that is running.

        Those of the tenants in ``later`` come only when there are no others.
        """
        others = self._unanswered(most, running, later) if later else []
        return others or self._unanswered(most, running)

    def learn(self, scores: Mapping[PairOf, float]) -> list[Job]:
        """Tell the jobs that wait what a call gave, and give those that know all of their scores now."""
        told: dict[Job, None] = {}
        for asked in scores.keys() & self._by_pair.keys():
            for job in self._by_pair[asked]:
                job.known[asked[1]] = scores[asked]
                told[job] = None
        return [job for job in self._jobs if job in told and not job.unknown] if told else []

    def _unanswered(self, most: int, running: Sequence[Batch], without: Collection[str | None] = ()) -> list[Job]:
        jobs = (job for job in self._jobs if job.tenant not in without and not _is_answered_by(job, running))
        return list(islice(jobs, most))

    def _count(self, job: Job, sign: int) -> None:
        pairs, jobs = self._of_tenant.get(job.tenant, (0, 0))
        self.pairs += sign * len(job.pairs)
        self._of_tenant[job.tenant] = (pairs + sign * len(job.pairs), jobs + sign)
        if not self._of_tenant[job.tenant][1]:
            del self._of_tenant[job.tenant]

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: Job) -> bool:
        return job in self._jobs


def distinct(jobs: Iterable[Job]) -> frozenset[PairOf]:
    """The pairs that a call for these jobs has to be asked about."""
    return frozenset(asked for job in jobs for asked in job.asked)


def _is_answered_by(job: Job, running: Sequence[Batch]) -> bool:
    # By one call as a whole: a job that waited for several of them would wait for the slowest.
    return any(all((job.tenant, pair) in batch.asked for pair in job.unknown) for batch in running)
