"""Names model folders by what is in their files: everything that changes what the model says."""

from collections.abc import Iterator
from pathlib import Path

from semcache.models.names import content_hint, read_json

_WEIGHTS = ("*.safetensors",)
_PICKLED = ("pytorch_model*.bin",)
# Configuration, prompts, templates, vocabularies, and code that a model brings along.
_SETTINGS = ("*.json", "*.txt", "*.model", "*.jinja", "*.py")
# What a training leaves in the folder, and no loading reads.
_LEFT_OVER = ("trainer_state.json", "all_results.json", "train_results.json", "eval_results.json")


def folder_hint(folder: Path) -> str:
    """8 hexadecimal digits that change with the weights, settings and vocabulary of a torch model's folder.

    Every byte is read: 134 MB take 0.1 s (benchmarks/results/identity.md).
    """
    files = [path for place in _places(folder) for path in (*_weights_in(place), *settings_in(place))]
    return content_hint(*files)


def settings_hint(folder: Path) -> str:
    """8 hexadecimal digits that change with everything in a folder but the weights of its transformer."""
    first, *others = _places(folder)
    files = [*settings_in(first), *(path for place in others for path in settings_in(place))]
    # The first module is the transformer; those after it may have weights, too.
    transformer = folder / str((read_json(folder / "modules.json") or [{}])[0].get("path", ""))
    return content_hint(*files, *(path for place in others if place != transformer for path in _weights_in(place)))


def has_weights(folder: Path) -> bool:
    """Whether a folder has weights for torch."""
    return bool(_weights_in(folder))


def settings_in(folder: Path) -> list[Path]:
    """The files beside the weights that change what a model says, in a fixed order."""
    return [path for path in _matching(folder, _SETTINGS) if path.name not in _LEFT_OVER]


def graph_files(graph: Path) -> list[Path]:
    """An ONNX graph with the files that hold its weights where these are too large for one file."""
    return [graph, *sorted(path for path in graph.parent.glob(f"{graph.name}*") if path != graph)]


def _weights_in(folder: Path) -> list[Path]:
    # Both kinds hold the same weights, and the libraries load the first.
    return _matching(folder, _WEIGHTS) or _matching(folder, _PICKLED)


def _places(folder: Path) -> Iterator[Path]:
    """The folder, and those of its modules that have their own; not the checkpoints of a training beside them."""
    yield folder
    for module in read_json(folder / "modules.json") or ():
        place = folder / str(module.get("path", ""))
        if place != folder and place.is_dir():
            yield place
            yield from sorted(path for path in place.rglob("*") if path.is_dir())


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
