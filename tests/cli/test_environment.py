"""Environment variables in configurations: used, and not written."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cuvis_ai.cli.environment import resolved, texts_withheld, without_environment
from cuvis_ai.errors import ConfigError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setenv("SECRET", "s3cret")
    monkeypatch.setenv("NUMBER", "7")
    monkeypatch.setenv("DATA", str(tmp_path))
    return {
        "graph": {"name": "run by ${oc.env:SECRET}"},
        "again": "${graph.name}",
        "number": "${oc.decode:${oc.env:NUMBER}}",
        "items": ["${oc.env:SECRET}", "${output_dir}"],
        "output_dir": "out",
        "missing": "${oc.env:NOT_SET,fallback}",
        "datamodule": {"data_dir": "${oc.env:DATA}", "token": "${oc.env:SECRET}"},
    }


def test_values_are_used(config: dict[str, object], tmp_path: Path) -> None:
    found = resolved(OmegaConf.create(config))
    assert found["again"] == "run by s3cret"
    assert found["number"] == 7
    assert found["datamodule"] == {"data_dir": str(tmp_path), "token": "s3cret"}


def test_expressions_are_written_but_for_paths_of_data(config: dict[str, object], tmp_path: Path) -> None:
    written = without_environment(OmegaConf.create(config))
    assert written == {
        "graph": {"name": "run by ${oc.env:SECRET}"},
        "again": "${graph.name}",
        "number": "${oc.decode:${oc.env:NUMBER}}",
        "items": ["${oc.env:SECRET}", "out"],
        "output_dir": "out",
        "missing": "${oc.env:NOT_SET,fallback}",
        "datamodule": {"data_dir": str(tmp_path), "token": "${oc.env:SECRET}"},
    }
    # What is written runs as what it was written of.
    assert resolved(OmegaConf.create(written)) == resolved(OmegaConf.create(config))


def test_the_environment_resolves_as_before_afterwards(config: dict[str, object]) -> None:
    without_environment(OmegaConf.create(config))
    assert resolved(OmegaConf.create(config))["again"] == "run by s3cret"


def test_texts_that_are_withheld(config: dict[str, object]) -> None:
    withheld = texts_withheld(OmegaConf.create(config))
    assert withheld["s3cret"] == "${oc.env:SECRET}"
    assert withheld["run by s3cret"] in ("run by ${oc.env:SECRET}", "${graph.name}")
    assert "out" not in withheld


@pytest.mark.parametrize("value", ["${nowhere}", "${oc.env:NOT_SET}", "???", "${oc.decode:'['}", "${self}"])
def test_what_cannot_be_resolved_is_our_error(value: str) -> None:
    with pytest.raises(ConfigError, match="expected interpolations that can be resolved"):
        resolved(OmegaConf.create({"self": "${self}" if value == "${self}" else 1, "graph": {"name": value}}))
