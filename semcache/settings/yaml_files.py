"""Reads YAML files strictly, and finds those that come with the package."""

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from semcache.causes import message_of
from semcache.errors import ConfigurationError

# The wheel holds a copy; a checkout has the files beside the package.
_IN_THE_WHEEL = Path(__file__).parents[1] / "_schemas"
_IN_A_CHECKOUT = Path(__file__).parents[2] / "schemas"

_MOST_BYTES = 100_000
"""The packaged file, which explains every knob, has a third of it. PyYAML takes a second for so many."""
_MOST_LEVELS = 20
"""Settings have three."""
_MOST_VALUES = 10_000
"""All knobs and a ladder of a hundred rungs are not a thousand. A small file can hold billions by its aliases."""


def schema_path(name: str) -> Path:
    """The path of a packaged file, such as ``pipeline.yaml``. Raises ConfigurationError if the file is missing."""
    for folder in (_IN_THE_WHEEL, _IN_A_CHECKOUT):
        if (folder / name).is_file():
            return folder / name
    raise ConfigurationError(
        f"{name} is missing from the installation: looked in {_IN_THE_WHEEL} and {_IN_A_CHECKOUT}; "
        "reinstall redis-semcache"
    )


_EXAMPLE = "correct it; semcache config --template prints a valid file of all settings"


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; empty for an empty file.

    Raises ConfigurationError when the file cannot be read, is not valid YAML, has a key twice, is too large, or holds
    something else.
    """
    loaded = _parsed(path)
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigurationError(f"{path} holds a {type(loaded).__name__}; it must hold a mapping of names to values")
    return loaded


def _parsed(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}; check the path and its permissions") from error
    if len(content) > _MOST_BYTES:
        raise ConfigurationError(f"{path} has more than {_MOST_BYTES:,} bytes; a file of settings has fewer")
    try:
        loaded = yaml.load(content.decode(), Loader=_Strict)  # noqa: S506 - a SafeLoader, which runs no code
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML: {_problem(error)}; {_EXAMPLE}") from None
    # PyYAML lets errors through of dates that do not exist, numbers of thousands of digits, and keys that are lists.
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise ConfigurationError(f"{path} is not valid YAML: {message_of(error)}; {_EXAMPLE}") from error
    if _has_more_values(loaded, _MOST_VALUES):
        raise ConfigurationError(f"{path} has more than {_MOST_VALUES:,} values by its aliases (*name); write them out")
    return loaded


def _problem(error: yaml.YAMLError) -> str:
    """An error of PyYAML on one line, without the line of the file that it quotes, which may hold a password."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return message_of(error)
    mark = error.problem_mark or error.context_mark
    where = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
    return ", ".join(filter(None, (error.context, error.problem))) + where


def _has_more_values(loaded: Any, most: int) -> bool:
    """Whether there are more values than that, each counted as often as it stands somewhere."""
    left: list[Any] = [loaded]
    for _ in range(most):
        if not left:
            return False
        value = left.pop()
        if isinstance(value, (dict, list)):
            left += value.values() if isinstance(value, dict) else value
            if len(left) > most:
                return True
    return bool(left)


class _Strict(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a key that stands twice in one mapping, as YAML 1.1 demands; PyYAML silently takes the later one.

    Also refuses what would take long: many levels, and mappings that merge many others.
    """

    _level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._level += 1
        if self._level > _MOST_LEVELS:
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, f"there are more than {_MOST_LEVELS} levels", mark)
        node = super().compose_node(parent, index)
        self._level -= 1
        return node

    def flatten_mapping(self, node: Any) -> None:
        super().flatten_mapping(node)
        # Each "<<" of several mappings multiplies them: a dozen lines would hold billions of keys.
        if len(node.value) > _MOST_VALUES:
            raise yaml.constructor.ConstructorError(None, None, "too many keys are merged", node.start_mark)

    def construct_unique_mapping(self, node: Any) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                problem = f"the key {key.value!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        # After the check: a key of the mapping itself may override one that is merged in with "<<".
        self.flatten_mapping(node)
        # Deep, so that a mapping is checked before another one merges it, which changes its node.
        mapping = self.construct_mapping(node, deep=True)
        for key in mapping:
            if not isinstance(key, str):
                problem = f"the key {key!r} is no name; put it in quotes if it is meant as one"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return mapping


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _Strict.construct_unique_mapping)
