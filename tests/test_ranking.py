"""Rankings as lists and as JSON."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from semcache.documents import Document
from semcache.ranking import Drift, Ranking, Status

DOCUMENTS = (Document("first", {"id": 7}), Document("second", {"id": 8}))


def ranking(**changed: object) -> Ranking[Document]:
    values: dict[str, object] = {
        "documents": DOCUMENTS,
        "indices": (3, 0),
        "scores": (1.5, -2.0),
        "status": Status.VERIFIED,
        "reranker": "ce",
        "similarity": 0.93,
        "asked": 4,
        "reused": 6,
        "rounds": 2,
        "drift": Drift(-0.5, 0.2, 4),
        "why": "below the trust threshold: 0.930 < 0.97",
    }
    return Ranking(**values | changed)  # type: ignore[arg-type]


def test_a_list_has_the_callers_own_objects() -> None:
    listed = ranking().to_list()
    assert isinstance(listed, list)
    assert all(one is other for one, other in zip(listed, DOCUMENTS, strict=True))


def test_a_dict_has_everything_but_the_documents_and_is_json() -> None:
    assert json.loads(json.dumps(ranking().to_dict(), allow_nan=False)) == {
        "indices": [3, 0],
        "scores": [1.5, -2.0],
        "status": "verified",
        "reason": None,
        "why": "below the trust threshold: 0.930 < 0.97",
        "reranker": "ce",
        "similarity": 0.93,
        "asked": 4,
        "reused": 6,
        "skipped": 0,
        "cheap_asked": 0,
        "rounds": 2,
        "drift": {"median": -0.5, "spread": 0.2, "samples": 4},
    }


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        (True, ["first", "second"]),
        (lambda document: document.metadata["id"], [7, 8]),
    ],
)
def test_documents_are_added_where_they_are_asked_for(documents: object, expected: list[object]) -> None:
    assert ranking().to_dict(documents=documents)["documents"] == expected  # type: ignore[arg-type]


def test_what_is_missing_or_not_finite_is_null() -> None:
    values = ranking(scores=None, similarity=None, drift=None).to_dict()
    assert (values["scores"], values["similarity"], values["drift"]) == (None, None, None)
    assert ranking(scores=(1.0, float("nan"))).to_dict()["scores"] == [1.0, None]


def test_numbers_of_numpy_become_numbers_of_json() -> None:
    values = ranking(scores=(np.float32(1.5),), similarity=np.float32(0.5)).to_dict()
    assert json.loads(json.dumps(values))["scores"] == [1.5]


def test_documents_of_any_kind_have_a_text() -> None:
    page = SimpleNamespace(page_content="a page", metadata={})
    assert ranking(documents=("plain", page)).to_dict(documents=True)["documents"] == ["plain", "a page"]


def test_a_repr_tells_of_skipped_pairs_where_there_are_any() -> None:
    assert repr(ranking()).endswith("4 pairs asked, 6 reused>")
    assert repr(ranking(status=Status.PRUNED, skipped=9)).endswith("4 pairs asked, 6 reused, 9 skipped>")
