"""What a process imports before its first answer: heavy libraries only where they are used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "sentence_transformers", "scipy", "pandas", "matplotlib")

_FIRST_REQUEST = """
from semcache import OptimizedRerankerPipeline

with OptimizedRerankerPipeline("cross-encoder/ms-marco-MiniLM-L-12-v2", None, "embedded") as pipeline:
    ranking = pipeline.rerank("How many people live in Berlin?", ["Berlin has museums.", "3.9 million live in Berlin."])
    assert ranking.status == "fresh", ranking
    assert pipeline.rerank("How many people are living in Berlin?", list(ranking)).similarity > 0.9
"""


def modules_after(program: str, **environment: str) -> set[str]:
    """The top-level modules that a fresh process has imported at its end."""
    report = "\nimport json, sys; print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SEMCACHE_")}
    done = subprocess.run(
        [sys.executable, "-c", program + report],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_first_request_ever_needs_neither_torch_nor_the_network(tmp_path: Path) -> None:
    # An empty cache directory: the ONNX graph of the packaged embedder is made on the way.
    modules = modules_after(_FIRST_REQUEST, XDG_CACHE_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert modules.isdisjoint({*HEAVY, "huggingface_hub", "httpx"})
    assert "onnxruntime" in modules
    assert list((tmp_path / "semcache" / "onnx").glob("*.onnx"))


@pytest.mark.parametrize("program", ["import semcache", "from semcache import SemcacheError"])
def test_importing_the_package_imports_nothing_of_others(program: str) -> None:
    assert modules_after(program).isdisjoint(
        {*HEAVY, "numpy", "redis", "redisvl", "pydantic", "onnxruntime", "asyncio"}
    )


def test_the_help_needs_neither_settings_nor_numbers() -> None:
    program = """
import sys
from semcache.commands import main
sys.argv = ["semcache", "--help"]
try:
    main()
except SystemExit as exit:
    assert exit.code in (0, None)
"""
    assert modules_after(program).isdisjoint(
        {*HEAVY, "numpy", "redis", "redisvl", "pydantic", "onnxruntime", "asyncio"}
    )
