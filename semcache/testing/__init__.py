"""Contracts for a store of your own: subclass them in your tests, and your store is checked as semcache's own are.

Tests are methods named ``test_*`` that use plain assertions, so any runner that collects such classes will do. With
pytest, ``pytest.register_assert_rewrite("semcache.testing.scenarios")`` in ``conftest.py`` shows the values of a failed
assertion.

Example:
    class TestMyStore(StoreContract):
        def make_store(self, *, listwise: bool = False) -> Store:
            return MyStore(prefix=uuid4().hex, dims=DIMS, listwise=listwise)
"""

from concurrent.futures import ThreadPoolExecutor

from semcache.flow.drive import adrive, drive
from semcache.protocols import AsyncStore, Store
from semcache.testing.scenarios import DIMS, LISTWISE_SCENARIOS, SCENARIOS, Scenario, document, vector

__all__ = ["DIMS", "AsyncStoreContract", "StoreContract"]


class StoreContract:
    """Checks everything that semcache relies on in a ``Store``. Subclass it and define ``make_store``.

    Besides the test below it has one for each function of ``semcache.testing.scenarios``, whose name follows ``test_``.
    """

    def make_store(self, *, listwise: bool = False) -> Store:
        """A new store without entries, for vectors of ``DIMS`` numbers. Every test asks for one store.

        A ``listwise`` store replaces the scores of an entry instead of adding to them.
        """
        raise NotImplementedError("define make_store() so that it returns a new, empty store")

    def test_scores_added_by_several_threads_are_all_kept(self) -> None:
        # Partial hits of equal queries add to one entry at once, also from several processes.
        store = self.make_store()
        added = [(document(number), float(number)) for number in range(40)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda score: store.remember("", "q", vector(1), [score]), added))
        assert dict(store.read_exact("", "q") or {}) == dict(added)


class AsyncStoreContract:
    """``StoreContract`` for an ``AsyncStore``. Its tests are coroutines: pytest-asyncio in auto mode runs them, and so
    does ``unittest.IsolatedAsyncioTestCase`` as a further base class.
    """

    def make_store(self, *, listwise: bool = False) -> AsyncStore:
        """A new store without entries, for vectors of ``DIMS`` numbers; called in the event loop of the test."""
        raise NotImplementedError("define make_store() so that it returns a new, empty store")


def _add_tests(scenario: Scenario, *, listwise: bool) -> None:
    def test(contract: StoreContract) -> None:
        drive(scenario(contract.make_store(listwise=listwise)), lambda result: result)

    async def atest(contract: AsyncStoreContract) -> None:
        await adrive(scenario(contract.make_store(listwise=listwise)), lambda awaitable: awaitable)

    setattr(StoreContract, f"test_{scenario.__name__}", test)
    setattr(AsyncStoreContract, f"test_{scenario.__name__}", atest)


# From one list for both contracts, so that neither can lack a scenario.
for _scenario in SCENARIOS:
    _add_tests(_scenario, listwise=False)
for _scenario in LISTWISE_SCENARIOS:
    _add_tests(_scenario, listwise=True)
