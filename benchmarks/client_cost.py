"""What does the client's own code cost per look-up, and where?"""

import cProfile
import io
import pstats
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import thread_time

import numpy as np
import redis

from benchmarks import experiment, library, limits, machine, plots, server, workload
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.timing import quantile, ratio
from benchmarks.workload import Workload, documents
from semcache import RedisSemanticCache
from semcache.commands.bench.measuring import Budget, Seconds, Side, take_turns
from semcache.entries import fingerprint
from semcache.flow.requests import checked_request

SIZE = 10_000
QUICK_SIZE = 1_000
BUDGET = Budget(samples=4000, limit_s=20)
QUICK_BUDGET = Budget(samples=200, limit_s=1)
PER_SAMPLE = 10
"""Operations per reading of the processor time, whose clock is coarser than one operation takes."""
PROFILED = 2000
LINES = 45
UNSEEN = "exact hit, documents not seen before"

Operation = Callable[[int], object]


def measure(quick: bool) -> ExperimentResult:
    """Measure the processor time of the calling thread per operation, count commands, and take a profile."""
    with ExitStack() as stack:
        url = stack.enter_context(server.started())
        cache = stack.enter_context(library.opened(url))
        work = workload.build(QUICK_SIZE if quick else SIZE)
        library.load(cache, work, 0, work.size)
        client = server.client(url)
        operations = dict(_operations(cache, client, work))
        budget = QUICK_BUDGET if quick else BUDGET
        found = take_turns({name: _processor_timed(call) for name, call in operations.items()}, budget)
        trips = {name: _commands(client, call) for name, call in operations.items()}
        profiles = {
            name: _profile(operations[name], 200 if quick else PROFILED) for name in ("exact hit", "semantic hit")
        }
        described = machine.describe(url)
    rows = []
    for name, seconds in found.items():
        median = quantile(seconds * 1e6, 0.5)
        interval = {"cpu_us": median.value, "cpu_low": median.low, "cpu_high": median.high}
        rows.append({"operation": name, "commands": trips[name], **interval})
    folder = experiment.TRIALS if quick else experiment.RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join(f"== {name}: {profile}" for name, profile in profiles.items())
    (folder / "client_cost.profile.txt").write_text(text + "\n")
    return ExperimentResult(
        name="client_cost",
        question="What does the client's own code cost per look-up?",
        method=(
            "Processor time of the calling thread (not waiting for the server), 50 documents, vectors given; sides "
            f"alternating, {PER_SAMPLE} operations per reading. Documents are recognised from earlier requests unless "
            "a row says otherwise. Commands are counted by the server. The profile, by "
            "processor time as well, is in client_cost.profile.txt; cProfile makes small functions look more expensive "
            "than they are."
        ),
        parameters={"entries": work.size, "documents": workload.DOCUMENTS, "budget": budget},
        machine=described,
        rows=rows,
        targets=[
            Target("processor time, exact hit / GET", ratio(found["exact hit"], found["limit: GET"]), at_most=2),
            Target(
                "processor time, exact hit with documents not seen before / GET",
                ratio(found[UNSEEN], found["limit: GET"]),
                at_most=2,
            ),
            Target(
                "processor time, neighbours / FT.SEARCH + MGET",
                ratio(found["neighbours"], found["limit: FT.SEARCH + MGET"]),
                at_most=1.35,
            ),
        ],
        seed=workload.SEED,
    )


def _operations(cache: RedisSemanticCache, client: redis.Redis, work: Workload) -> Iterator[tuple[str, Operation]]:
    yield "limit: GET by a bare redis-py Connection", _by_connection(client, work)
    yield "limit: GET", limits.get(client, work)
    yield "limit: FT.SEARCH + MGET", limits.search_and_scores(client, work, "semantic")
    yield "fingerprints of 50 documents", lambda at: checked_request("a query", documents(at), 1)
    yield "exact hit", library.LookUp(cache, work, "exact")
    yield UNSEEN, _unseen(library.LookUp(cache, work, "exact"))
    yield "neighbours", library.neighbours(cache, work, "semantic")
    yield "semantic hit", library.LookUp(cache, work, "semantic")
    yield "miss", library.LookUp(cache, work, "miss")


def _unseen(look_up: library.LookUp) -> Operation:
    """An exact hit whose documents this process has not seen before, so that each of them is hashed."""

    def operation(at: int) -> object:
        fingerprint._cached_digest.cache_clear()
        return look_up(at)

    return operation


def _by_connection(client: redis.Redis, work: Workload) -> Operation:
    """GET without redis-py's client and pool around its connection."""
    connection = client.connection_pool.get_connection()
    keys = limits.score_keys(work)

    def operation(at: int) -> object:
        connection.send_command("GET", keys[at % len(keys)])
        return connection.read_response()

    return operation


def _processor_timed(call: Operation) -> Side:
    def side(numbers: Sequence[int]) -> Seconds:
        durations = np.empty(len(numbers))
        for row, number in enumerate(numbers):
            started = thread_time()
            for at in range(PER_SAMPLE):
                call(number * PER_SAMPLE + at)
            durations[row] = (thread_time() - started) / PER_SAMPLE
        return durations

    return side


def _commands(client: redis.Redis, call: Operation) -> float:
    """Commands per operation, as the server counts them."""
    before = client.info("stats")["total_commands_processed"]
    for at in range(100):
        call(at)
    # The server counts a command after it has answered it, so of the two INFOs only the first is in the difference.
    return (client.info("stats")["total_commands_processed"] - before - 1) / 100


def _profile(call: Operation, count: int) -> str:
    profile = cProfile.Profile(thread_time)
    profile.enable()
    for at in range(count):
        call(at)
    profile.disable()
    out = io.StringIO()
    pstats.Stats(profile, stream=out).strip_dirs().sort_stats("tottime").print_stats(LINES)
    return f"{count} operations\n{out.getvalue().strip()}"


def plot(result: ExperimentResult, path: Path) -> None:
    """Processor time per operation."""
    values = {row["operation"]: row["cpu_us"] for row in result.rows}
    plots.bars(values, path, title="Processor time of the client per operation", x="microseconds")


if __name__ == "__main__":
    experiment.main(measure, plot)
