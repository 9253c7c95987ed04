"""Finds the YAML files that ship with semcache, and reads YAML so that no mistake in it goes unnoticed."""

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from semcache.errors import ConfigurationError

_IN_THE_WHEEL = Path(__file__).parents[1] / "_schemas"
_IN_A_CHECKOUT = Path(__file__).parents[2] / "schemas"


def schema_path(name: str) -> Path:
    """Where the packaged file of this name lies, such as ``pipeline.yaml``. Raises ConfigurationError if it is gone."""
    for folder in (_IN_THE_WHEEL, _IN_A_CHECKOUT):
        if (folder / name).is_file():
            return folder / name
    raise ConfigurationError(
        f"{name} is missing from the installation: looked in {_IN_THE_WHEEL} and {_IN_A_CHECKOUT}; "
        "reinstall redis-semcache"
    )


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping a YAML file holds; an empty file holds an empty one.

    Raises ConfigurationError when the file cannot be read, is no YAML, names a key twice, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        # _UniqueKeys is a SafeLoader, so nothing in the file can run code.
        loaded = yaml.load(text, Loader=_UniqueKeys)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}; check the path and its permissions") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML: {_in_one_line(error)}") from error
    return _mapping(loaded, path)


def _mapping(loaded: object, path: Path) -> dict[str, Any]:
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigurationError(f"{path} holds a {type(loaded).__name__}; it must hold a mapping of names to values")
    return loaded


def _in_one_line(error: yaml.YAMLError) -> str:
    return " ".join(str(error).split())


class _UniqueKeys(yaml.SafeLoader):  # type: ignore[misc]
    """YAML 1.1 forbids a key twice in one mapping; PyYAML lets the later one win in silence."""


def _unique_mapping(loader: Any, node: Any) -> Any:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} stands twice", key.start_mark)
        seen.add(key.value)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)
