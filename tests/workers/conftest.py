"""Workers for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.workers.crew import Crew


@pytest.fixture(scope="session")
def _started() -> Iterator[Crew]:
    crew = Crew(8)
    yield crew
    crew.close()


@pytest.fixture
def crew(_started: Crew) -> Crew:
    """Eight processes, which wait for jobs."""
    _started.begin_anew()
    return _started
