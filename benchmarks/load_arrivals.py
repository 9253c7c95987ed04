"""When requests arrive: open-loop, that is whether earlier ones were answered or not."""

import csv
import sys
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from benchmarks.trec import data_folder

Times = NDArray[np.float64]
"""Seconds since the beginning, rising."""

_TRACE = "traces/AzureLLMInferenceTrace_conv.csv"


def poisson(rate: float, count: int, seed: int) -> Times:
    """``count`` arrivals with independent, exponentially distributed gaps, ``rate`` a second on average."""
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))


def scaled(times: Times, rate: float, count: int, seed: int) -> Times:
    """``count`` consecutive arrivals of a trace from a random place, stretched to ``rate`` a second on average.

    One factor for all gaps, so that bursts and lulls stay what they were. Raises ValueError if the trace is too short.
    """
    if count + 1 > len(times):
        raise ValueError(f"the trace has {len(times)} arrivals, {count + 1} are needed; ask for fewer")
    first = int(np.random.default_rng(seed).integers(len(times) - count))
    part = times[first : first + count + 1]
    return (part[1:] - part[0]) * (count / rate / (part[-1] - part[0]))


def azure() -> Times:
    """19,366 real arrivals at a chat service over an hour (Azure LLM inference trace, CC BY 4.0)."""
    path = data_folder() / _TRACE
    if not path.is_file():
        sys.exit(f"{path} is missing; SEMCACHE_BENCH_DATA must name the folder that holds it")
    with path.open(newline="") as lines:
        # Seven digits after the point; datetime reads six.
        moments = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in csv.DictReader(lines)]
    return np.array(moments) - moments[0]


def dispersion(times: Times, window: float) -> float:
    """Variance of the number of arrivals per window over its mean: 1 for Poisson, more for burstier traffic."""
    counts = np.bincount((times // window).astype(int))[:-1]
    return float(counts.var() / counts.mean())
