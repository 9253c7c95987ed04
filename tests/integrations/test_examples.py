"""Every example of docs/integrations.md has ten lines at most, and runs in the real library.

With the packaged models, but for the cross-encoder of sentence-transformers: there are no packaged weights for torch.
"""

import re
from pathlib import Path

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
    assert shown == modules - {"__init__", "door"}


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
