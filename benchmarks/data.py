"""Real queries in one fixed order, read from the folder that SEMCACHE_BENCH_DATA names."""

import gzip
import random
import sys
from functools import cache

from benchmarks.trec import data_folder

SEED = 20_051_101


@cache
def queries() -> tuple[str, ...]:
    """345,816 distinct real queries, shuffled by ``SEED``: the first n are a random sample of all."""
    path = data_folder() / "queries" / "unique_queries.txt.gz"
    if not path.is_file():
        sys.exit(f"{path} is missing; SEMCACHE_BENCH_DATA must name the folder that holds it")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        found = [line.rstrip("\n") for line in lines]
    random.Random(SEED).shuffle(found)
    return tuple(found)
