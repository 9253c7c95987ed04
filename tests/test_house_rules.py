"""Modules and functions stay short enough to be read, and CONTRIBUTING.md lists every room."""

import ast
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "semcache"
MODULES = sorted(PACKAGE.rglob("*.py"))

MOST_LINES = 300
MOST_LINES_OF_A_BODY = 40

# Each is one public class, long for its docstrings and signatures: most methods stand twice, for threads and for event
# loops, with all of their arguments. Other modules do what they promise.
LONGER = {
    "cache.py": "RedisSemanticCache",
    "cached.py": "CachedReranker",
    "degradation/reranker.py": "DegradableReranker",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | Function


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def documented(path: Path) -> Iterator[Documented]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, Documented))


def docstring_of(node: Documented) -> list[ast.stmt]:
    """Its statement, as a list of one; an empty list where there is none."""
    return node.body[:1] if ast.get_docstring(node) is not None else []


def lines_of(statements: Sequence[ast.stmt]) -> int:
    """From the first statement to the end of the last."""
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1 if statements else 0


def code_lines(path: Path) -> int:
    """Lines that are neither blank nor in a docstring."""
    written = sum(bool(line.strip()) for line in path.read_text().splitlines())
    return written - sum(lines_of(docstring_of(node)) for node in documented(path))


def test_modules_are_short_but_for_some_public_classes() -> None:
    longer = {name_of(path) for path in MODULES if len(path.read_text().splitlines()) > MOST_LINES}
    assert longer == LONGER.keys(), f"split what is longer than {MOST_LINES} lines, and name here what no longer is"


@pytest.mark.parametrize("name", LONGER)
def test_a_longer_module_is_long_for_its_docstrings(name: str) -> None:
    assert code_lines(PACKAGE / name) <= MOST_LINES


def test_functions_are_short() -> None:
    longer = {
        f"{name_of(path)}:{node.lineno} {node.name}": lines
        for path in MODULES
        for node in documented(path)
        if isinstance(node, Function)
        if (lines := lines_of(node.body[len(docstring_of(node)) :])) > MOST_LINES_OF_A_BODY
    }
    assert not longer, f"at most {MOST_LINES_OF_A_BODY} lines without signature and docstring: give parts a name"


def test_every_module_says_what_it_is_for() -> None:
    silent = [name_of(path) for path in MODULES if ast.get_docstring(ast.parse(path.read_text())) is None]
    assert not silent


def listed_rooms() -> list[str]:
    """The names in the first column of the list in CONTRIBUTING.md, from top to end."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| (`.+?`) \|", page[: page.index("- *What is decided*")], re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([\w/.]+)`", row)]


def test_the_list_of_rooms_has_every_room_and_no_other() -> None:
    rooms = {f"{path.name}/" if path.is_dir() else path.name for path in PACKAGE.iterdir()}
    # What a wheel, or Python, puts beside them is no room.
    assert set(listed_rooms()) == {room for room in rooms if not room.startswith("_") and room != "py.typed"}


def test_the_list_of_rooms_is_in_the_order_of_their_layers() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    layer_of = {room.strip(): number for number, layer in enumerate(layers) for room in layer.split("|")}
    numbers = [layer_of[room.removesuffix("/").removesuffix(".py")] for room in listed_rooms()]
    assert numbers == sorted(numbers)
