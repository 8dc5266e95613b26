"""Rules on what files may say to Hydra, on plain mappings; `test_guarded_hydra` shows them at work."""

import pytest

from cuvis_ai.cli.hydra_rules import (
    is_environment_override,
    problem_of_a_search_path,
    problems_of_a_file,
    problems_of_names,
)


def test_each_place_is_named() -> None:
    content = {
        "hydra": {"callbacks": {"a": {"_target_": "x.Y"}}, "job": {"env_set": {"A": "1"}}},
        "allow": "z",
    }
    found = "\n".join(problems_of_a_file(content))
    for place in ("`allow`", "`hydra.callbacks.a._target_`", "`hydra.job.env_set.A`"):
        assert place in found


def test_empty_parts_and_no_mapping_are_no_problem() -> None:
    assert problems_of_a_file({"hydra": {"callbacks": None}, "allow": []}) == []
    assert problems_of_a_file([1, 2]) == []


def test_names_of_classes_are_plain() -> None:
    assert problems_of_names({"a": {"_target_": "x.Y"}}) == []
    assert problems_of_names({"a": [{"_target_": "${x}"}]})[0].startswith("`a.0._target_`")


@pytest.mark.parametrize(("path", "refused"), [("pkg://x", True), ("pkg:x", True), ("file:///x", False)])
def test_packages_are_no_search_path(path: str, refused: bool) -> None:
    assert (problem_of_a_search_path(path) is not None) == refused


@pytest.mark.parametrize(
    "override", ["hydra.job.env_set.A=1", "+hydra.job.env_set.A=1", "~hydra.job.env_copy"]
)
def test_overrides_of_the_environment(override: str) -> None:
    assert is_environment_override(override)
    assert not is_environment_override("hydra.job.name=x")
