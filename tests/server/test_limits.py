"""Input that cannot be used, and more of it than can be answered: a clear refusal, before any work is done."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest
from httpx import Client, Response

from tests.fakes import CountingReranker
from tests.scripted import PATIENCE_S
from tests.server.conftest import Serve, Waiting

SECRET = "geheim"


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v2/rerank", "{", 400, "not JSON (EOF while parsing"),
        ("/v2/rerank", "\xff", 400, "not JSON"),
        ("/v2/rerank", "[]", 422, "body"),
        ("/v2/rerank", f'{{"query": "{SECRET}"}}', 422, "documents"),
        ("/v2/rerank", f'{{"documents": ["{SECRET}"]}}', 422, "query"),
        ("/v2/rerank", f'{{"query": "q", "documents": "{SECRET}"}}', 422, "documents"),
        ("/v2/rerank", '{"query": "q", "documents": [1]}', 422, "documents.0"),
        ("/v2/rerank", f'{{"query": "q", "documents": [{{"title": "{SECRET}"}}]}}', 422, "documents.0"),
        (
            "/v1/rerank",
            f'{{"query": "q", "rank_fields": ["a"], "documents": [{{"b": "{SECRET}"}}]}}',
            422,
            "rank_fields",
        ),
        ("/v1/rerank", '{"query": "q", "rank_fields": ["a"], "documents": [{"a": 7}]}', 422, "documents.0"),
        ("/v2/chat", "{}", 404, "/v2/rerank"),
        ("/v2/rerank", '{"query": "q", "documents": []}', 422, "no documents"),
        ("/v2/rerank", '{"query": "q", "documents": ["d"], "top_n": 0}', 422, "top_n"),
        ("/v2/rerank", '{"query": "q", "documents": ["d"], "top_n": 1.5}', 422, "top_n"),
        ("/v2/rerank", '{"query": "q", "documents": ["d"], "top_n": true}', 422, "top_n"),
        ("/v2/rerank", '{"query": "q", "documents": ["d"], "top_n": "1"}', 422, "top_n"),
        ("/v2/rerank", '{"query": "q", "documents": ["\\ud800"]}', 400, "not JSON"),
        ("/v2/rerank", '{"query": "q", "documents": ["a", "b", "c", "d"]}', 413, "4 documents; send at most 3"),
        ("/v2/rerank", f'{{"query": "{"q" * 51}", "documents": ["d"]}}', 413, "query has 51 characters"),
        ("/v2/rerank", f'{{"query": "q", "documents": ["d", "{"d" * 51}"]}}', 413, "document 1 has 51 characters"),
        ("/v2/rerank", " " * 1001, 413, "larger than 1000 bytes"),
        ("/rerank", '{"query": "q"}', 422, "texts"),
        ("/rerank", '{"query": "q", "texts": [{"text": "d"}]}', 422, "texts.0"),
    ],
)
def test_bad_input(serve: Serve, model: CountingReranker, path: str, body: str, status: int, said: str) -> None:
    client = serve(max_documents=3, max_chars=50, max_body_bytes=1000)
    answer = client.post(path, content=body.encode("latin-1"))
    assert answer.status_code == status
    assert answer.json().keys() == {"message", "detail", "error", "error_type"}
    assert said in answer.json()["message"]
    assert SECRET not in answer.text
    # The calls of the start may come at any time.
    assert not any(query.startswith(("q", SECRET)) for query, _ in model.pairs)


def test_a_body_that_does_not_say_its_length_is_cut_off(serve: Serve) -> None:
    def parts() -> Iterator[bytes]:
        yield from [b" " * 600] * 3

    assert serve(max_body_bytes=1000).post("/v2/rerank", content=parts()).status_code == 413


@pytest.mark.parametrize("said", ["soon", "-1", "0", "nan", "inf", ""])
def test_a_deadline_is_a_number_of_seconds(serve: Serve, said: str) -> None:
    answer = serve().post(
        "/v2/rerank", json={"query": "q", "documents": ["d"]}, headers={"X-Semcache-Deadline-S": said}
    )
    assert answer.status_code == 400


def ask(client: Client, query: str, **headers: str) -> Response:
    return client.post("/v2/rerank", json={"query": query, "documents": ["a", "bb"]}, headers=headers)


class TestOverload:
    @pytest.fixture
    def model(self) -> Iterator[Waiting]:
        model = Waiting()
        yield model
        model.go.set()

    def test_a_late_reranker_is_answered_for_at_the_deadline(self, serve: Serve, model: Waiting) -> None:
        answer = ask(serve(), "wait", **{"X-Semcache-Deadline-S": "0.2"})
        assert (answer.status_code, answer.headers["X-Semcache-Reason"]) == (200, "deadline")
        assert [result["index"] for result in answer.json()["results"]] == [0, 1]

    def test_a_deadline_is_at_most_the_setting(self, serve: Serve, model: Waiting) -> None:
        answer = ask(serve(deadline_s=0.2), "wait", **{"X-Semcache-Deadline-S": "100"})
        assert answer.headers["X-Semcache-Reason"] == "deadline"

    def test_degraded_answers_are_refused_where_that_is_asked_for(self, serve: Serve, model: Waiting) -> None:
        answer = ask(serve(deadline_s=0.2, degraded="refuse", retry_after_s=7), "wait")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
        assert "deadline" in answer.json()["message"]

    def test_more_requests_than_may_be_under_way(self, serve: Serve, model: Waiting) -> None:
        client = serve(max_requests=1, retry_after_s=3)
        with ThreadPoolExecutor(1) as thread:
            first = thread.submit(ask, client, "wait")
            assert model.inside.wait(PATIENCE_S)
            refused = ask(client, "another")
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "3")
            assert client.get("/healthz").status_code == 200
            model.go.set()
            assert first.result(PATIENCE_S).headers["X-Semcache-Status"] == "fresh"
        assert ask(client, "another").status_code == 200

    @pytest.mark.parametrize(("on_full", "status"), [("reject", 429), ("fallback", 200)])
    def test_a_full_queue(self, serve: Serve, model: Waiting, on_full: str, status: int) -> None:
        client = serve(sections={"batching": {"on_full": on_full, "max_queue_pairs": 1}})
        with ThreadPoolExecutor(3) as threads:
            first = threads.submit(ask, client, "wait")
            assert model.inside.wait(PATIENCE_S)
            # One of them waits in the queue, whichever comes first.
            others = [threads.submit(ask, client, f"another {number}") for number in range(2)]
            answer = next(as_completed(others, PATIENCE_S)).result()
            assert answer.status_code == status
            if status == 429:
                assert answer.headers["Retry-After"] == "1"
            else:
                assert answer.headers["X-Semcache-Reason"] == "busy"
            model.go.set()
            assert first.result(PATIENCE_S).status_code == 200
