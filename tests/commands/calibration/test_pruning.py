"""What pruning would save and cost on a log: learned from one half, tried on the other, with the setting to paste."""

import io
import random
from pathlib import Path

import pytest
from rich.console import Console

from semcache.commands.calibration.log import Logged
from semcache.commands.calibration.pruning import Pruned, advised
from semcache.commands.calibration.report import report
from semcache.commands.calibration.result import Calibration
from semcache.commands.calibration.run import CalibrationOptions, calibrate_log
from semcache.flow.policy import ReusePolicy
from semcache.settings import Settings
from semcache.settings.yaml_files import load_yaml
from tests.audit.test_pruning import ChanceEmbedder
from tests.flow.test_asking import DOCUMENTS, FallingReranker

OPTIONS = CalibrationOptions(ReusePolicy(), 0.01, 1000, 100_000, 7, 4, 512)


def calibrated(
    folder: Path, requests: int, max_pairs: int = 100_000, reranker: FallingReranker | None = None
) -> Calibration:
    log = [Logged(f"question {number}", tuple(DOCUMENTS[:30])) for number in range(requests)]
    options = CalibrationOptions(ReusePolicy(), 0.01, 1000, max_pairs, 7, 4, 512)
    return calibrate_log(
        log, ChanceEmbedder(), reranker or FallingReranker(), options, folder / "scores", lambda *_: None
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    return calibrated(tmp_path_factory.mktemp("log"), 80)


def printed(found: Calibration) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(report(found))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_requests_that_nothing_near_helps_are_scored_and_tried(found: Calibration) -> None:
    assert [row.confidence for row in found.pruned] == [1.0, 1.5, 2.0, 3.0]
    assert {row.sampled for row in found.pruned} == {80}
    assert found.sampled_pairs == 80 * 30
    assert all(row.low - 1e-9 <= row.loss <= row.high + 1e-9 for row in found.pruned)
    assert found.pruned[0].avoided >= max(found.pruned[-1].avoided, 0.1)


def test_a_service_avoids_what_its_one_round_avoids(found: Calibration, tmp_path: Path) -> None:
    service = FallingReranker()
    service.concurrency = 4  # type: ignore[attr-defined]
    once = calibrated(tmp_path, 80, reranker=service)
    assert [row.avoided for row in once.pruned] != [row.avoided for row in found.pruned]
    assert once.pruned[-1].avoided <= found.pruned[-1].avoided


def test_the_setting_can_be_pasted(found: Calibration, tmp_path: Path) -> None:
    assert found.prune is not None and found.prune.threshold is not None
    text = printed(found)
    lines = [line.rstrip() for line in text.splitlines()]
    pasted = "\n".join(lines[lines.index("For your YAML file:") + 1 : lines.index("or for the environment:")])
    file = tmp_path / "pasted.yaml"
    file.write_text(pasted)
    settings = Settings(**load_yaml(file))
    assert (settings.prune.mode, settings.prune.confidence) == ("on", found.prune.threshold)


def test_too_few_requests_give_no_advice(tmp_path: Path) -> None:
    found = calibrated(tmp_path, 20)
    assert found.pruned == () and found.prune is not None and found.prune.threshold is None
    assert "prune.mode no advice too few requests" in " ".join(printed(found).split())


def test_no_more_pairs_are_scored_than_allowed(tmp_path: Path) -> None:
    assert calibrated(tmp_path, 20, max_pairs=100).sampled_pairs == 90


def test_the_lowest_confidence_that_keeps_the_budget_is_advised() -> None:
    rows = [Pruned(z, 100, 0.5, loss, 0.0, 2 * loss, loss) for z, loss in ((1.0, 0.01), (1.5, 0.004), (2.0, 0.001))]
    assert advised(rows, 0.01).threshold == 1.5
    assert advised(rows, 0.001).threshold is None


class Partial(FallingReranker):
    """Likes the same documents best for every query, wherever they stand."""

    def score_of(self, query: str, text: str) -> float:
        return float(sum(text.encode()) * 7919 % 101)


def test_what_documents_scored_for_other_queries_is_known(tmp_path: Path) -> None:
    log = []
    for number in range(80):
        documents = DOCUMENTS[:30]
        random.Random(number).shuffle(documents)
        log.append(Logged(f"question {number}", tuple(documents)))
    found = calibrate_log(log, ChanceEmbedder(), Partial(), OPTIONS, tmp_path / "scores", lambda *_: None)
    assert found.pruned[-1].avoided > 0.4
    assert found.pruned[-1].loss < 0.001
