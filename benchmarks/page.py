"""Does the live page, or its server, grow while a thousand requests a minute come in?"""

import json
from collections import Counter
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np

from benchmarks import experiment, machine, server
from benchmarks.browser import launched
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.served import served
from benchmarks.soak_process import measured
from benchmarks.timing import quantile

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession, Page

PER_MINUTE = 1000
MINUTES, QUICK_MINUTES = 10, 0.5
SAMPLES = 20
QUERIES, DOCUMENTS, TOP = 60, 10, 5
NEW_EVERY = 20
"""One request of so many has a query that was not asked before: the model must not be what limits the rate."""
SETTLED = 0.2
"""Share of the run after which growth counts: until then the browser compiles, and the server fills its caches."""


def measure(quick: bool) -> ExperimentResult:
    """Keep the page open while requests come in, and look at its heap and nodes, and at the server's memory."""
    minutes = QUICK_MINUTES if quick else MINUTES
    with server.started() as redis_url, served(redis_url, "page") as (url, pid), launched() as browser:
        traffic = _Traffic(url)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.goto(url)
        page.wait_for_selector("#figures:not([hidden])")
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        with traffic:
            rows = [
                _sample(page, session, pid, traffic, minutes * 60_000 / SAMPLES, (step + 1) * minutes / SAMPLES)
                for step in range(SAMPLES)
            ]
        # The last look may have come before the last requests.
        page.wait_for_timeout(5000)
        shown = int(page.locator('[data-figure="requests"]').inner_text().split()[0].replace(",", ""))
        counted = httpx.get(f"{url}/stats").json()["cache"]["requests"]
        described = machine.describe(redis_url)
    return ExperimentResult(
        name="page",
        question="Does the live page, or its server, grow while a thousand requests a minute come in?",
        method=(
            f"`semcache serve` with the packaged models and a private Redis gets {PER_MINUTE} requests a minute over "
            f"HTTP at even distances, each of {DOCUMENTS} documents: {QUERIES} queries again and again, and one of "
            f"{NEW_EVERY} that is new. Chromium has the page open, which looks every two seconds. JavaScript's heap "
            "and the nodes of the document are counted after a garbage collection, the server's memory is what is "
            f"no file. Growth is from the mean of the second fifth of the run to that of the last one."
        ),
        parameters={"minutes": minutes, "per_minute": PER_MINUTE, "answers": dict(traffic.statuses)},
        machine=described,
        rows=rows,
        targets=[
            _target("requests a minute", 60 * len(traffic.sent) / traffic.sent[-1], at_least=0.98 * PER_MINUTE),
            _target("requests not answered", float(traffic.lost), at_most=0),
            _target("requests that the page shows, less those of /stats", float(abs(shown - counted)), at_most=0),
            _target("errors in the page", float(len(faults)), at_most=0),
            _target("growth of the heap, %", _growth(rows, "heap_mib"), at_most=10),
            _target("growth of the nodes, %", _growth(rows, "nodes"), at_most=5),
            _target("growth of the server's memory, %", _growth(rows, "server_mib"), at_most=5),
        ],
    )


class _Traffic:
    """Requests at even distances, in the block."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ended = Event()
        self._thread = Thread(target=self._send)
        self.sent: list[float] = []
        self.lost = 0
        self.statuses: Counter[str] = Counter()

    def __enter__(self) -> "_Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _send(self) -> None:
        begin, number = monotonic(), 0
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._ended.wait(max(0.0, begin + number * 60 / PER_MINUTE - monotonic())):
                try:
                    answer = client.post("/v2/rerank", content=_body(number)).raise_for_status()
                    self.statuses[answer.headers["X-Semcache-Status"]] += 1
                except httpx.HTTPError:
                    self.lost += 1
                self.sent.append(monotonic() - begin)
                number += 1


def _body(number: int) -> bytes:
    query = f"a new question, number {number}" if number % NEW_EVERY == 0 else f"a question about {number % QUERIES}"
    documents = [f"Passage {at} says something about subject {number % QUERIES}." for at in range(DOCUMENTS)]
    return json.dumps({"query": query, "documents": documents, "top_n": TOP}).encode()


def _sample(
    page: "Page", session: "CDPSession", pid: int, traffic: _Traffic, wait_ms: float, minute: float
) -> dict[str, Any]:
    page.wait_for_timeout(wait_ms)
    session.send("HeapProfiler.collectGarbage")
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return {
        "minute": round(minute, 2),
        "requests": len(traffic.sent),
        "heap_mib": metrics["JSHeapUsedSize"] / 2**20,
        "nodes": int(metrics["Nodes"]),
        "listeners": int(metrics["JSEventListeners"]),
        "server_mib": measured(pid)["own_mib"],
    }


def _growth(rows: list[dict[str, Any]], name: str) -> float:
    values = np.array([row[name] for row in rows], dtype=float)
    first, fifth = int(SETTLED * len(values)), len(values) // 5
    return float(100 * (values[-fifth:].mean() / values[first : first + fifth].mean() - 1))


def _target(what: str, value: float, **bound: float) -> Target:
    return Target(what, quantile(np.array([value]), 1.0), **bound)


if __name__ == "__main__":
    experiment.main(measure)
