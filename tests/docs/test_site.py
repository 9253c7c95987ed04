"""The site is built strictly, needs no network, and each of its pages is reached from the menu."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

MKDOCS = ROOT / ".docs"
"""Where `make test` installs mkdocs; without the network it is not there, and the build is left out."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "PYTHONPATH": f"{MKDOCS}{os.pathsep}{ROOT}", "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = re.compile(
        r"""(?:<(?:script|img|iframe|source)[^>]*?\ssrc=|<link[^>]*?\shref=|url\()["']?(https?://[^"')]+)"""
    )
    for file in (*site.rglob("*.html"), *site.rglob("*.css")):
        assert not loaded.findall(file.read_text()), file


def test_every_page_is_in_the_menu(site: Path) -> None:
    menu = (site / "index.html").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f'href="{page.stem}.html"' in menu or page.stem == "index", page


def test_results_of_benchmarks_are_part_of_it(site: Path) -> None:
    assert (site / "project" / "benchmarks" / "results" / "size.html").exists()
    assert (site / "project" / "benchmarks" / "results" / "size.png").exists()


def test_examples_of_docstrings_are_code(site: Path) -> None:
    page = (site / "api.html").read_text()
    assert '<details class="example"' not in page
    assert "&gt;&gt;&gt; " in page
