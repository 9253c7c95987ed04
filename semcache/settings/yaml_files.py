"""Reads YAML files strictly, and finds those that come with the package."""

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from semcache.errors import ConfigurationError

# The wheel holds a copy; a checkout has the files beside the package.
_IN_THE_WHEEL = Path(__file__).parents[1] / "_schemas"
_IN_A_CHECKOUT = Path(__file__).parents[2] / "schemas"


def schema_path(name: str) -> Path:
    """The path of a packaged file, such as ``pipeline.yaml``. Raises ConfigurationError if the file is missing."""
    for folder in (_IN_THE_WHEEL, _IN_A_CHECKOUT):
        if (folder / name).is_file():
            return folder / name
    raise ConfigurationError(
        f"{name} is missing from the installation: looked in {_IN_THE_WHEEL} and {_IN_A_CHECKOUT}; "
        "reinstall redis-semcache"
    )


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; empty for an empty file.

    Raises ConfigurationError when the file cannot be read, is not valid YAML, has a key twice, or holds something else.
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
        # PyYAML spreads its message over several lines.
        raise ConfigurationError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigurationError(f"{path} holds a {type(loaded).__name__}; it must hold a mapping of names to values")
    return loaded


class _UniqueKeys(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a key that stands twice in one mapping, as YAML 1.1 demands; PyYAML silently takes the later one."""

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
        return self.construct_mapping(node, deep=True)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _UniqueKeys.construct_unique_mapping)
