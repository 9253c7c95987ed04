"""Puts semcache and its peers through every fault and case and writes the table: ``python -m tests.faults``.

``--only TEXT`` takes the faults and cases whose names have the text, and prints without writing the table.
"""

import argparse
import faulthandler
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.machine import describe
from tests.faults.catalogue import all_cases, all_faults
from tests.faults.measure import Times, put_through
from tests.faults.models import ScriptedReranker
from tests.faults.proxy_process import ProxyProcess
from tests.faults.report import Result, save
from tests.faults.subjects import SUBJECTS, Semcache, missing
from tests.faults.traffic import Load
from tests.faults.world import a_world

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
_ROW_S = 60.0
"""A row that takes longer hangs: its process says where, and ends."""
_OF_PEERS = Times(before_s=0.5, with_s=1.5, after_s=1.0, patience_s=2.0)
"""Shorter: their figures differ by seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--subject", choices=SUBJECTS, action="append", help="all unless given")
    parser.add_argument("--rows", action="store_true", help="print the rows of the one subject as JSON, one a line")
    options = parser.parse_args()
    subjects = options.subject or list(SUBJECTS)
    if options.rows:
        for row in rows_of(subjects[0], options.only):
            print(json.dumps(row), flush=True)
        os._exit(0)  # threads of clients that hang would be waited for
    began = monotonic()
    left_out = {subject: why for subject in subjects if (why := missing(subject))}
    for subject, why in left_out.items():
        print(f"{subject} is left out: {why}", file=sys.stderr)
    subjects = [subject for subject in subjects if subject not in left_out]
    # semcache alone, since its delays are milliseconds; the others beside each other.
    rows = _run([subject for subject in subjects if subject == Semcache.name], options.only)
    rows += _run([subject for subject in subjects if subject != Semcache.name], options.only)
    print(f"{len(rows)} rows in {(monotonic() - began) / 60:.1f} minutes", file=sys.stderr)
    if not options.only:
        save(Result(describe(), rows, left_out), RESULTS)


def _run(subjects: Sequence[str], only: str) -> list[dict[str, Any]]:
    """Each subject in a process of its own: what a fault leaves behind ends with it."""
    if not subjects:
        return []
    with ThreadPoolExecutor(len(subjects)) as pool:
        return [row for rows in pool.map(partial(_rows_in_process, only), subjects) for row in rows]


def _rows_in_process(only: str, subject: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.faults", "--rows", "--only", only, "--subject", subject]
    rows = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            rows.append(json.loads(line))
            print(_shown(rows[-1]), file=sys.stderr, flush=True)
    if process.returncode:
        raise RuntimeError(f"the process of {subject} ended with status {process.returncode}, see above")
    return rows


def rows_of(subject: str, only: str) -> Iterator[dict[str, Any]]:
    """The rows of a subject, as they are ready."""
    logging.getLogger("semcache").propagate = False
    is_own = subject == Semcache.name
    if not is_own:
        logging.disable(logging.ERROR)
    times, load = (Times(), Load(changing=True)) if is_own else (_OF_PEERS, Load())
    for fault in all_faults():
        if (is_own or not fault.own) and only in f"{fault.strikes}: {fault.name}":
            faulthandler.dump_traceback_later(_ROW_S, exit=True)
            try:
                row = put_through(fault, SUBJECTS[subject], load, times).as_dict()
            except Exception as error:  # noqa: BLE001 - the other rows are measured all the same
                print(f"{subject}, {fault.name}: no row, since {error!r}", file=sys.stderr)
            else:
                yield row
    for group, case in all_cases():
        if (is_own or not case.own) and only in f"{group}: {case.name}":
            faulthandler.dump_traceback_later(_ROW_S, exit=True)
            with a_world(ProxyProcess, ScriptedReranker()) as world:
                tally = case.run(SUBJECTS[subject], world)
            yield {"subject": subject, "strikes": group, "fault": case.name, **tally.as_dict()}
    faulthandler.cancel_dump_traceback_later()


def _shown(row: dict[str, Any]) -> str:
    return (
        f"{row['subject']:24.24} {row['strikes']}: {row['fault']:50.50} {row['requests']:6} requests,"
        f" {row['failed']} failed, {row['wrong']} wrong, {row['unanswered']} unanswered"
        f" {row.get('note', '')} {row['error'][:100]}"
    )


if __name__ == "__main__":
    main()
