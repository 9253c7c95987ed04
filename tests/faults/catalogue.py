"""Every fault and every case."""

from collections.abc import Iterator

from tests.faults.data import data_faults
from tests.faults.fault import Fault
from tests.faults.isolation import Case, isolation_cases, near_query_cases
from tests.faults.misbehaviour import model_faults
from tests.faults.network import network_faults
from tests.faults.programs import program_cases
from tests.faults.servers import server_faults


def all_faults() -> Iterator[Fault]:
    """In the order of the table."""
    yield from network_faults()
    yield from server_faults()
    yield from data_faults()
    yield from model_faults()


def all_cases() -> Iterator[tuple[str, Case]]:
    """With the group that each stands in."""
    for case in isolation_cases():
        yield "isolation", case
    for case in near_query_cases():
        yield "near", case
    for case in program_cases():
        yield "programs", case
