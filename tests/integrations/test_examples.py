"""Every example of docs/integrations.md has ten lines at most, and runs in the real library.

With the packaged models, but for the cross-encoder of sentence-transformers: there are no packaged weights for torch.
"""

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "integrations.md").read_text()
SECTIONS = {
    title: re.findall(r"^```python\n(.*?)^```", body, re.MULTILINE | re.DOTALL)
    for title, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
EXAMPLES = {
    f"{title} {number}": code for title, codes in SECTIONS.items() for number, code in enumerate(codes, start=1)
}


def test_there_is_an_example_for_every_module() -> None:
    modules = {path.stem for path in (Path(__file__).parents[2] / "semcache" / "integrations").glob("*.py")}
    shown = set(re.findall(r"from semcache\.integrations\.(\w+) import", "\n".join(EXAMPLES.values())))
    assert shown == modules - {"__init__", "backing"}


def test_an_existing_chain_changes_by_two_lines_and_answers_the_same(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langchain_classic.retrievers.document_compressors.cross_encoder import BaseCrossEncoder
    from langchain_core.documents import Document

    class Model(BaseCrossEncoder):
        def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
            return [float(len(text)) for _, text in text_pairs]

    monkeypatch.setenv("SEMCACHE_REDIS_URL", redis_url)
    monkeypatch.setenv("SEMCACHE_NAMESPACE", namespace)
    (diff,) = re.findall(r"^```diff\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    before, after = ([line[1:] for line in diff.splitlines() if line[0] == sign] for sign in "-+")
    assert len(before) == len(after) == 2
    documents = [Document(page_content="x" * length) for length in (3, 9, 1, 7)]
    answers = []
    for lines in (before, after, after):
        names = {"model": Model()}
        exec("\n".join(lines), names)
        compressor: Any = names["compressor"]
        answers.append([one.page_content for one in compressor.compress_documents(documents, "a query")])
    compressor.close()
    assert answers == [["x" * 9, "x" * 7]] * 3


@pytest.mark.parametrize("code", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_an_example_runs(
    code: str,
    redis_url: str,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if "my-cross-encoder" in code:
        (tmp_path / "my-cross-encoder").symlink_to(request.getfixturevalue("tiny_cross_encoder"))
    monkeypatch.setenv("SEMCACHE_REDIS_URL", redis_url)
    monkeypatch.setenv("SEMCACHE_NAMESPACE", namespace)
    # LlamaIndex would download its own.
    monkeypatch.setattr("llama_index.core.global_tokenizer", str.split)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    exec(compile(code, "docs/integrations.md", "exec"), {"__name__": "example"})
    assert "3.9 million" in capsys.readouterr().out
