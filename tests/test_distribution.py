"""The wheel and the sdist hold the whole package, and an installed wheel runs the ten lines of the README."""

import os
import re
import subprocess
import sys
import tarfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent
TEN_LINES = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)[0]


def run(*command: str, cwd: Path, **environment: str) -> str:
    """What a program prints. Without settings and paths of this process, in a folder that has no package to import."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SEMCACHE_", "PYTHON", "REPOSITORY_URL"))
    }
    done = subprocess.run(
        command, cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(kind: str, source: Path, target: Path, **environment: str) -> Path:
    """The file that hatchling makes of a source tree. It is among the developers' tools, so nothing is downloaded."""
    run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target), cwd=source, **environment)
    (made,) = target.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def names(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def tracked(*folders: str) -> set[str]:
    """Files of the package that are under version control; those that lie about are not to be shipped."""
    return set(run("git", "ls-files", "--", *folders, cwd=ROOT).splitlines())


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    schemas = {name.replace("schemas/", "semcache/_schemas/") for name in tracked("schemas")}
    assert names(wheel) == tracked("semcache") | schemas
    assert "semcache/py.typed" in names(wheel)


def test_a_wheel_made_of_the_sdist_is_the_same(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", ROOT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert names(build("wheel", source, tmp_path / "wheel")) == names(wheel)


def test_no_link_of_the_description_leads_nowhere(wheel: Path) -> None:
    description = str(metadata(wheel).get_payload())
    assert "A semantic cache between your retriever and your reranker" in description
    assert not re.findall(r"\]\((?!https://)[^)]+\)", description)
    assert not metadata(wheel).get_all("Project-URL"), "there is no address that would be true"


def test_with_an_address_links_lead_there(tmp_path: Path) -> None:
    address = "https://forge.example/semcache"
    found = metadata(build("wheel", ROOT, tmp_path, REPOSITORY_URL=address))
    links = re.findall(r"\]\(([^)]+)\)", str(found.get_payload()))
    assert f"{address}/blob/v{found['Version']}/docs/start.md" in links
    assert all(link.startswith("https://") for link in links)
    assert f"Source, {address}" in (found.get_all("Project-URL") or [])


def test_every_integration_has_an_extra(wheel: Path) -> None:
    extras = metadata(wheel).get_all("Provides-Extra") or []
    assert {"langchain", "llama-index", "haystack", "dspy", "embedded", "offline", "onnx", "cli"} <= set(extras)


def test_the_installed_wheel_runs_the_ten_lines(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "site"
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(place), str(wheel))
    run(sys.executable, *install, cwd=tmp_path)
    program = f"{TEN_LINES}\nimport semcache; print(semcache.__file__)"
    *_, where = run(sys.executable, "-c", program, cwd=tmp_path, PYTHONPATH=str(place)).splitlines()
    assert Path(where).is_relative_to(place)
    assert "redis://" in run(
        sys.executable,
        "-c",
        "from semcache.commands import main; main()",
        "config",
        cwd=tmp_path,
        PYTHONPATH=str(place),
    )
