"""Configurations that become large by aliases or interpolations."""

from pathlib import Path

import pytest

from cuvis_ai.cli.config_size import MOST_BYTES, check_expansion, check_yaml
from cuvis_ai.errors import ConfigError


def written(folder: Path, text: str) -> str:
    path = folder / "config.yaml"
    path.write_text(text)
    return str(path)


def doubling(n: int) -> str:
    """YAML in which each list holds the one before twice."""
    lines = ["a0: &a0 [1, 1]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, n))]
    return "\n".join(lines)


def test_aliases_count_where_they_are_used(tmp_path: Path) -> None:
    check_yaml(written(tmp_path, doubling(10)))
    with pytest.raises(
        ConfigError, match=r"config\.yaml: expected at most 100000 values, got \d+ with aliases"
    ):
        check_yaml(written(tmp_path, doubling(60)))


def test_a_large_file_is_refused_unparsed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected at most 1048576 bytes, got 1048577"):
        check_yaml(written(tmp_path, "[" * (MOST_BYTES + 1)))


CHAINS = {
    "absolute": lambda i: f"${{a{i - 1}}}${{a{i - 1}}}",
    "relative": lambda i: f"${{.a{i - 1}}}${{.a{i - 1}}}",
    "by a resolver": lambda i: f"${{oc.select:a{i - 1}}}${{oc.select:a{i - 1}}}",
    "as nodes": lambda i: {"x": f"${{a{i - 1}}}", "y": f"${{a{i - 1}}}"},
    "as items": lambda i: [f"${{a{i - 1}}}", f"${{a{i - 1}}}"],
    "below nodes": lambda i: {"x": f"${{a{i - 1}.x}}${{a{i - 1}.x}}"} if i > 1 else {"x": "ab"},
}


@pytest.mark.parametrize("name", CHAINS)
def test_interpolations_count_as_what_they_stand_for(name: str) -> None:
    def chain(n: int) -> dict[str, object]:
        return {"a0": "ab", **{f"a{i}": CHAINS[name](i) for i in range(1, n)}}

    check_expansion(chain(8))
    with pytest.raises(ConfigError, match="expected at most 10000000 characters, got"):
        check_expansion(chain(40))


def test_circles_end() -> None:
    check_expansion({"a": "${b}", "b": "${a}"})
