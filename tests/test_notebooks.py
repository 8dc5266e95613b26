"""The notebooks in docs/notebooks: what is committed in them is what running them gives."""

import copy
import re
from decimal import Decimal
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.conftest import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "docs" / "notebooks").glob("*.ipynb"))
TIMES_OUT = 300
MOST_BYTES = 300_000

NUMBER = re.compile(r"(?:(?<!\w)-)?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
ABSOLUTE_PATH = re.compile(r"(?<![\w.</])/[\w.-]+/|\b[A-Za-z]:\\")

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: NotebookNode) -> dict[str, str]:
    """Return what a cell printed, by stream."""
    streams: dict[str, str] = {}
    for one in cell.outputs:
        if one.output_type == "stream":
            streams[one.name] = streams.get(one.name, "") + one.text
    return streams


def shown(cell: NotebookNode) -> list[dict[str, str]]:
    """Return what a cell showed besides, by media type; of pictures only that they are there."""
    return [
        {kind: text if kind.startswith("text/") else "" for kind, text in one.data.items()}
        for one in cell.outputs
        if one.output_type != "stream"
    ]


def difference(committed: str, executed: str) -> str | None:
    """Return how two texts differ, if they do: words and whole numbers exactly, decimals by more than their last digit."""
    words = [re.sub(r"\s+", " ", NUMBER.sub("#", text)) for text in (committed, executed)]
    if words[0] != words[1]:
        return f"{committed!r} became {executed!r}"
    for before, after in zip(NUMBER.findall(committed), NUMBER.findall(executed), strict=True):
        last_digit = Decimal((0, (1,), Decimal(before).as_tuple().exponent))
        if abs(Decimal(before) - Decimal(after)) > (last_digit if "." in before else 0):
            return f"{before} became {after} in {committed!r}"
    return None


@pytest.mark.parametrize(
    ("committed", "executed", "same"),
    [
        ("AUROC 0.949", "AUROC 0.950", True),  # rounding alone may do that
        ("AUROC 0.949", "AUROC 0.951", False),
        ("AUROC 0.949", "AUROC 0.94", False),
        ("AUROC 0.949", "AP 0.949", False),
        ("171 of 21025", "172 of 21025", False),
        ("-0.5", "0.5", False),
        ("-0.0", "0.0", True),
        ("1.2e-03", "1.3e-03", True),
        ("1.2e-03", "1.2e-02", False),
        ("rank  9.99", "rank 10.00", True),  # the columns of a table are filled with blanks
        ("no number", "no number", True),
    ],
)
def test_texts_are_compared_to_the_digits_that_are_printed(committed: str, executed: str, same: bool) -> None:
    assert (difference(committed, executed) is None) == same


def test_absolute_paths_are_recognized() -> None:
    for text in ("PosixPath('/tmp/a.hdr')", "in /home/me/b", 'File "/usr/lib/c.py"', r"C:\d"):
        assert ABSOLUTE_PATH.search(text), text
    for text in ("PosixPath('maps/a.hdr')", "<td>a</td></tr>", "https://a.org/b/c", "../a/b.md"):
        assert not ABSOLUTE_PATH.search(text), text


def test_there_are_three_and_the_index_names_each() -> None:
    index = (REPOSITORY / "docs" / "index.md").read_text(encoding="utf-8")
    assert [path.stem for path in NOTEBOOKS] == ["choosing_bands", "scene_to_map", "training_with_masks"]
    assert all(f"](notebooks/{path.name})" in index for path in NOTEBOOKS)


@every_notebook
def test_notebook_is_committed_as_run_from_top_to_bottom(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES
    notebook = read(path)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert cell.outputs, cell.source
        assert not [one for one in cell.outputs if one.output_type == "error"], cell.source
        assert "stderr" not in printed(cell), cell.source
    kinds = {kind for cell in cells for one in shown(cell) for kind in one}
    assert kinds >= {"text/html", "image/png"}


@every_notebook
def test_notebook_names_no_place_on_a_machine_and_its_links_lead_somewhere(path: Path) -> None:
    notebook = read(path)
    texts = [cell.source for cell in notebook.cells]
    for cell in code_cells(notebook):
        texts += [*printed(cell).values(), *(text for one in shown(cell) for text in one.values())]
    assert not [text for text in texts if ABSOLUTE_PATH.search(text)]
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#]+)", prose)
    assert links
    assert not [link for link in links if not (path.parent / link).is_file()]


@pytest.mark.slow
@every_notebook
def test_notebook_gives_what_is_committed_in_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    (tmp_path / "work").mkdir()
    committed = read(path)
    client = NotebookClient(
        copy.deepcopy(committed),
        timeout=TIMES_OUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path / "work")}},
    )
    executed = client.execute()
    for before, after in zip(code_cells(committed), code_cells(executed), strict=True):
        assert printed(before).keys() == printed(after).keys(), before.source
        assert [one.keys() for one in shown(before)] == [one.keys() for one in shown(after)], before.source
        pairs = [(text, printed(after)[stream]) for stream, text in printed(before).items()]
        for one, other in zip(shown(before), shown(after), strict=True):
            pairs += [(text, other[kind]) for kind, text in one.items()]
        assert [found for pair in pairs if (found := difference(*pair))] == [], before.source
