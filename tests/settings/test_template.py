"""The packaged YAML is what the code writes, and both agree with the classes that the settings configure."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from semcache.degradation.breaker import BreakerPolicy
from semcache.flow.policy import ReusePolicy
from semcache.settings import Breaker, Reuse, Rung, Settings, template
from semcache.settings.knobs import knobs, reason_of
from semcache.settings.yaml_files import load_yaml, schema_path


def test_the_packaged_yaml_is_what_the_code_writes() -> None:
    written = schema_path("pipeline.yaml").read_text()
    assert written == template(Settings), "write it anew by `semcache config --template`"


def test_the_packaged_yaml_names_every_knob() -> None:
    packaged = load_yaml(schema_path("pipeline.yaml"))
    for path, _ in knobs(Settings):
        section = packaged
        for name in path:
            assert name in section, f"{path} is missing from pipeline.yaml"
            section = section[name]


def test_defaults_in_yaml_and_code_agree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").touch()
    from_yaml = Settings().model_dump()
    monkeypatch.setenv("SEMCACHE_CONFIG", "empty.yaml")
    assert Settings().model_dump() == from_yaml


@pytest.mark.parametrize(("section", "policy"), [(Reuse(), ReusePolicy()), (Breaker(), BreakerPolicy())])
def test_a_section_agrees_with_the_policy_it_configures(section: Reuse | Breaker, policy: Any) -> None:
    shared = dataclasses.asdict(policy).keys() & section.model_dump().keys()
    assert {name: getattr(section, name) for name in shared} == {name: getattr(policy, name) for name in shared}


def test_every_knob_has_a_meaning_and_a_reason() -> None:
    for path, field in [*knobs(Settings), *knobs(Rung)]:
        assert field.description, path
        assert reason_of(field), path


def test_every_duration_has_its_unit() -> None:
    for path, field in knobs(Settings):
        assert path[-1].endswith("_s") == ((field.json_schema_extra or {})["unit"] == "s"), path


def test_the_template_is_yaml_that_says_the_defaults() -> None:
    assert yaml.safe_load(template(Settings))["reuse"]["trust_threshold"] == 0.97
