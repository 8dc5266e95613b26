"""`cuvis-ai show`: the structure of a saved graph, printed."""

from pathlib import Path

import pytest

from cuvis_ai.cli import main
from tests.pipeline.test_graph import fitted


def test_show_prints_the_structure_of_a_saved_graph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = fitted()
    graph.save_to_file(tmp_path / "graph.zip")
    capsys.readouterr()
    assert main(["show", str(tmp_path / "graph.zip")]) == 0
    assert capsys.readouterr().out == f"{graph!r}\n"


@pytest.mark.parametrize("content", [None, b"", b"no zip"], ids=["missing", "empty", "no zip"])
def test_show_names_a_file_that_is_no_graph(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "graph.zip"
    if content is not None:
        path.write_bytes(content)
    assert main(["show", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("cuvis-ai: ")
    assert str(path) in printed.err
    assert printed.out == ""
