"""The documentation runs: the Python blocks of a page in order, in one namespace, and its example scripts."""

import contextlib
import io
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from cuvis_ai.cli.command_line import main
from tests.conftest import REPOSITORY
from tests.data.files import write_envi
from tests.lentils import write_lentils
from tests.settings_table import table

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
CONTRIBUTING = REPOSITORY / "CONTRIBUTING.md"
CONFIGURATION = REPOSITORY / "docs" / "configuration.md"
TIMES_OUT = 300


class Block(NamedTuple):
    """A fenced block of a Markdown file."""

    headings: tuple[str, ...]
    """The headings that it stands under, outermost first."""
    language: str
    text: str
    line: int
    """The line that its text begins on, counted from 1."""


def blocks(path: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a Markdown file, in order."""
    headings: list[tuple[int, str]] = []
    language: str | None = None
    start, body = 0, list[str]()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if language is not None:
            if line.strip() == "```":
                yield Block(tuple(title for _, title in headings), language, "\n".join(body) + "\n", start)
                language = None
            else:
                body.append(line)
        elif line.startswith("```"):
            language, start, body = line[3:].strip(), number + 1, []
        elif found := re.match(r"(#+) (.+)", line):
            level = len(found[1])
            headings = [*(one for one in headings if one[0] < level), (level, found[2].strip())]
    assert language is None, f"{path}: a block is never closed"


def run_block(block: Block, path: Path, namespace: dict[str, object]) -> None:
    """Run a Python block; a traceback shows the lines of the Markdown file."""
    exec(compile("\n" * (block.line - 1) + block.text, str(path), "exec"), namespace)


def commands(block: Block) -> list[str]:
    """Return a shell block's commands, continued lines joined, without comments."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def run_script(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python examples_torch/… …` in a folder, as if the checkout's scripts lay there."""
    python, script, *arguments = shlex.split(command)
    assert python == "python"
    assert script.startswith("examples_torch/")
    return subprocess.run(
        [sys.executable, str(REPOSITORY / script), *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=TIMES_OUT,
    )


def page_name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def test_blocks_know_their_headings_and_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n## B\n```python\n# no heading\nx = 1\n```\n## C\n```bash\nls \\\n  -l\n# no\n```\n")
    first, second = blocks(page)
    assert first == Block(("A", "B"), "python", "# no heading\nx = 1\n", 4)
    assert second.headings == ("A", "C")
    assert [shlex.split(command) for command in commands(second)] == [["ls", "-l"]]


@contextlib.contextmanager
def printed() -> Iterator[io.StringIO]:
    """Catch what is printed, and the log in the form that the pages show it in."""
    logger, level = logging.getLogger("cuvis_ai"), logging.getLogger("cuvis_ai").level
    with contextlib.redirect_stdout(io.StringIO()) as output:
        handler = logging.StreamHandler(output)
        handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield output
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if page != CONFIGURATION and any(block.language == "python" for block in blocks(page))
    ],
    ids=page_name,
)
def test_python_blocks_run_and_print_what_stands_below_them(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    output, shown = "", 0
    for block in blocks(page):
        if block.language == "python":
            with printed() as caught:
                run_block(block, page, namespace)
            output = caught.getvalue()
        elif block.language == "text":
            lines = [line for line in block.text.splitlines() if line.strip()]
            missing = [line for line in lines if line not in output]
            assert not missing, f"{page_name(page)}:{block.line}: {missing} not in what is printed:\n{output}"
            shown += len(lines)
    assert shown, "the page shows no output"


SCRIPTS = [
    (page, command)
    for page in PAGES
    for block in blocks(page)
    if block.language in {"bash", "sh", "console"}
    for command in commands(block)
    if command.startswith("python examples_torch/")
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "command"), SCRIPTS, ids=[f"{page_name(page)}: {command}" for page, command in SCRIPTS]
)
def test_example_scripts_run(page: Path, command: str, tmp_path: Path) -> None:
    write_lentils(tmp_path / "Lentils", height=16, width=20)
    done = run_script(command, tmp_path, DATA_ROOT=str(tmp_path / "Lentils"), WANDB_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "--help" in command or "--cfg" in command or (tmp_path / "outputs" / "trained_graph.zip").is_file()


@pytest.mark.slow
def test_commands_from_a_scene_to_a_map_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flight").mkdir()
    generator = np.random.default_rng(0)
    for name in ("scene", "flight/one", "flight/two"):
        background = generator.normal(size=(40, 30, 3)).cumsum(0) @ generator.normal(size=(3, 8))
        write_envi(tmp_path / f"{name}.hdr", (background + generator.normal(size=(40, 30, 8))).astype("f4"))
    (tmp_path / "truth").mkdir()
    for name in ("one", "two"):
        np.save(tmp_path / "truth" / f"{name}.npy", generator.random((40, 30)) < 0.02)
    monkeypatch.chdir(tmp_path)
    page = REPOSITORY / "docs" / "from_a_scene_to_a_map.md"
    run = [line for block in blocks(page) if block.language == "bash" for line in commands(block)]
    for command in run:
        program, *arguments = shlex.split(command)
        assert program == "cuvis-ai"
        assert main(arguments) == 0, command
    assert len(run) == 5
    assert (tmp_path / "later" / "two_detections.geojson").is_file()
    assert (tmp_path / "evaluation" / "roc.png").is_file()


def test_recipes_of_contributing_run_in_a_copy_of_the_package(tmp_path: Path) -> None:
    """A block that begins with a path is that file of the copy; the others are run after one another."""
    shutil.copytree(
        REPOSITORY / "cuvis_ai", tmp_path / "cuvis_ai", ignore=shutil.ignore_patterns("__pycache__")
    )
    recipes = [block for block in blocks(CONTRIBUTING) if block.language == "python"]
    script = ""
    for block in recipes:
        if path := re.match(r"# (\S+\.py)\n", block.text):
            file = tmp_path / path[1]
            assert not file.exists()
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        else:
            script += block.text
    (tmp_path / "use.py").write_text(script, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "use.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMES_OUT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("8 9 6\n")


@pytest.mark.slow
def test_files_and_commands_of_the_configuration_guide_run_in_any_folder(tmp_path: Path) -> None:
    """A block that begins with a path is that file; the others are commands, run one after the other."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in blocks(CONFIGURATION):
        if named := re.match(r"# (\S+\.(?:py|yaml))\n", block.text):
            (tmp_path / named[1]).parent.mkdir(exist_ok=True)
            (tmp_path / named[1]).write_text(block.text, encoding="utf-8")
        else:
            assert block.language == "bash", f"{page_name(CONFIGURATION)}:{block.line}"
            done = subprocess.run(
                ["bash", "-ec", block.text], cwd=tmp_path, env={**os.environ, "PATH": path},
                capture_output=True, text=True, timeout=TIMES_OUT,
            )  # fmt: skip
            assert done.returncode == 0, f"line {block.line}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    graphs = {graph.relative_to(tmp_path).as_posix() for graph in tmp_path.rglob("*.zip")}
    folders = ("first", "own", "smooth", "sweep/0", "sweep/1")
    assert graphs == {"mine.zip", *(f"results/{folder}/trained_graph.zip" for folder in folders)}
    assert len((tmp_path / "results" / "sweep" / "sweep.csv").read_text().splitlines()) == 3
    assert (tmp_path / "results" / "own" / "report.html").is_file()


def test_the_configuration_guide_has_every_setting_with_its_default() -> None:
    """`python -m tests.settings_table` prints the table."""
    page = CONFIGURATION.read_text(encoding="utf-8")
    assert page.endswith(f"\n\n{table()}\n")


@pytest.mark.parametrize("page", [*PAGES, CONTRIBUTING], ids=page_name)
def test_links_and_pictures_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [target for target in targets if target and not re.match(r"[a-z]+:", target)]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert not missing


def test_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) <= 100


def test_every_test_that_reliability_cites_exists() -> None:
    page = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = [line.split("|")[3] for line in page.splitlines() if line.startswith("| ")]
    cited = {name for row in rows for name in re.findall(r"\b(test_\w+?)(?:…|\b(?!\.py))", row)}
    sources = "\n".join(
        path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py")
    )
    known = re.findall(r"^def (test_\w+)\(", sources, re.MULTILINE)
    assert len(cited) > 30
    # A name may be cut short with an ellipsis.
    assert not [name for name in cited if not any(one.startswith(name) for one in known)]
