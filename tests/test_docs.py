"""The documentation runs: the Python, YAML and shell blocks of a page in order, in one folder."""

import ast
import contextlib
import io
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.cli.command_line import main
from cuvis_ai.pipeline.graph import Graph
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


NOT_RUN = {
    r"make \w+": "continuous integration runs make; its targets are checked here",
    r"python -m pip .*": "changes the environment, from the network; `test_packaging.py` builds and reads the wheel",
    r"tensorboard .*": "serves until it is stopped",
    r"python train\.py|torchrun .*|srun .*": "several processes: `training/engine/test_nodes.py` starts them",
    r"python -m benchmarks\..*": "measures for minutes",
}
"""Commands that no test can run as they stand, and why."""


def is_run(command: str) -> bool:
    return not any(re.fullmatch(known, re.sub(r"\s+#.*", "", command)) for known in NOT_RUN)


def write_what_pages_read(folder: Path) -> None:
    """Write what a reader has: scenes and their masks, data sets, and the clone's scripts."""
    generator = np.random.default_rng(0)
    for name in ("scene", "flight/one", "flight/two"):
        (folder / name).parent.mkdir(exist_ok=True)
        background = generator.normal(size=(40, 30, 3)).cumsum(0) @ generator.normal(size=(3, 20))
        write_envi(folder / f"{name}.hdr", (background + generator.normal(size=(40, 30, 20))).astype("f4"))
    for name in ("one", "two"):
        (folder / "truth").mkdir(exist_ok=True)
        np.save(folder / "truth" / f"{name}.npy", generator.random((40, 30)) < 0.02)
    for name in ("Lentils", "cubes"):
        write_lentils(folder / name, height=16, width=20)
    for name in ("examples_torch", "tests"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)


def run_command(command: str, folder: Path) -> str:
    """Run a command of a page and return what it prints; those of `cuvis-ai` that compose no configuration here."""
    words = shlex.split(os.path.expandvars(command), comments=True)
    if Path(words[0]).name == "cuvis-ai" and words[1] not in ("train", "--help"):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            assert main(words[1:]) == 0, command
        return output.getvalue()
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMES_OUT,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout + done.stderr


def run_page(page: Path, folder: Path) -> None:
    """Run a page's blocks in order: one that begins with a path is that file, text is what was printed last."""
    namespace: dict[str, object] = {"__name__": "page"}
    output = ""
    for block in blocks(page):
        at = f"{page_name(page)}:{block.line}"
        if named := re.match(r"# (\S+\.(?:py|yaml))\n", block.text):
            (folder / named[1]).parent.mkdir(exist_ok=True)
            (folder / named[1]).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            with printed() as caught:
                run_block(block, page, namespace)
            output = caught.getvalue()
        elif block.language == "bash":
            output = "".join(run_command(one, folder) for one in commands(block) if is_run(one))
        else:
            assert block.language == "text", f"{at}: {block.language!r} is run by nothing"
            lines = [line for line in block.text.splitlines() if line.strip()]
            missing = [line for line in lines if line not in output]
            assert not missing, f"{at}: {missing} not in what is printed:\n{output}"


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:spectral"
)  # numpy's, about how it makes scalars of arrays
@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page))], ids=page_name)
def test_blocks_run_and_print_what_stands_below_them(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if any(block.language == "bash" for block in blocks(page)):
        write_what_pages_read(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_ROOT", "Lentils")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    run_page(page, tmp_path)
    for left in LEFT.get(page_name(page), ()):
        assert (tmp_path / left).is_file(), left


LEFT = {
    "docs/from_a_scene_to_a_map.md": ("later/two_detections.geojson", "evaluation/roc.png"),
    "docs/configuration.md": (
        "mine.zip",
        *(f"results/{one}/trained_graph.zip" for one in ("first", "own", "smooth", "sweep/0", "sweep/1")),
        "results/sweep/sweep.csv",
        "results/own/report.html",
    ),
    "docs/export.md": ("maps/scene_detections.geojson",),
    "docs/lentils.md": ("maps/lentils_010_detections.csv",),
    "docs/tutorials/phase4_channel_selection.md": ("outputs/trained_graph.zip",),
}
"""What a page says that its commands leave."""


def test_what_is_not_run_is_named_for_a_reason_and_parses() -> None:
    every = [(page, one) for page in [*PAGES, CONTRIBUTING] for block in blocks(page)
             if block.language == "bash" for one in commands(block)]  # fmt: skip
    left = [one for _, one in every if not is_run(one)]
    for known in NOT_RUN:
        assert any(re.match(known, one) for one in left), f"no page says {known}"
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {one.split()[1] for one in left if one.startswith("make ")} <= set(targets)
    for one in left:
        subprocess.run(["bash", "-nc", one], check=True)


@pytest.mark.parametrize("page", [*PAGES, CONTRIBUTING], ids=page_name)
def test_code_stands_in_fenced_blocks_of_a_known_language(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= {"python", "text", "bash", "yaml"}
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    # Four blanks after an empty line are code, too, unless they go on with a list.
    assert not re.findall(r"^(?![ \-*\d]).*\n\n {4,}\S.*", prose, re.MULTILINE)


@pytest.mark.slow
def test_commands_of_many_machines_fit_a_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = [tmp_path / "monday.npy", tmp_path / "tuesday.npy"]
    for seed, scene in enumerate(scenes):
        np.save(scene, np.random.default_rng(seed).normal(size=(60, 50, 20)))
    graph = Graph("rx")
    graph.add_node(RXGlobal())
    graph.save_to_file(tmp_path / "unfitted.zip")
    monkeypatch.chdir(tmp_path)
    page = REPOSITORY / "docs" / "many_scenes.md"
    listed = [line for block in blocks(page) if block.language == "bash" for line in commands(block)]
    (taken,) = (line for line in listed if "fit-shard" in line)
    (merged,) = (line for line in listed if "cuvis-ai merge" in line)
    for command in (*(taken.replace("$SLURM_ARRAY_TASK_ID", str(i)) for i in (1, 2)), merged):
        assert main(shlex.split(command)[1:]) == 0, command
    pixels = np.concatenate([np.load(scene).reshape(-1, 20) for scene in scenes])
    fitted = Graph.load_from_file(tmp_path / "fitted.zip")
    np.testing.assert_allclose(
        fitted.nodes["rx_global"].cov, np.cov(pixels, rowvar=False), rtol=1e-5, atol=1e-6
    )


def test_recipes_of_contributing_run_in_a_copy_of_the_package(tmp_path: Path) -> None:
    """A block that begins with a path is that file of the copy; the others are run after one another."""
    shutil.copytree(
        REPOSITORY / "cuvis_ai", tmp_path / "cuvis_ai", ignore=shutil.ignore_patterns("__pycache__")
    )
    recipes = [block for block in blocks(CONTRIBUTING) if block.language == "python"]
    write_lentils(tmp_path / "Lentils", n_cubes=5, height=12, width=16)  # as conftest.py does for examples
    script = "import doctest, importlib\n"
    for block in recipes:
        if path := re.match(r"# (\S+\.py)\n", block.text):
            file = tmp_path / path[1]
            assert not file.exists()
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
            if ">>>" in block.text:
                module = path[1].removesuffix(".py").replace("/", ".")
                script += f"assert doctest.testmod(importlib.import_module('{module}')) == (0, {block.text.count('>>>')})\n"
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


def test_the_configuration_guide_has_every_setting_with_its_default() -> None:
    """`python -m tests.settings_table` prints the table."""
    page = CONFIGURATION.read_text(encoding="utf-8")
    assert page.endswith(f"\n\n{table()}\n")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MkDocs make them alike."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", title.lower()).strip() for title in titles]
    return {title.replace(" ", "-") for title in plain if not re.search(r"[ -]{2}", title)}


@pytest.mark.parametrize("page", [*PAGES, CONTRIBUTING], ids=page_name)
def test_links_pictures_and_anchors_are_there(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _, anchor = link.partition("#")
        at = page.parent / target if target else page
        if re.match(r"[a-z]+:", link):
            continue
        if not at.exists() or (anchor and anchor not in anchors(at)):
            missing.append(link)
    assert not missing


def messages() -> list[str]:
    """Return the texts of the program, what is filled in as `…`."""
    found = []
    for path in sorted((REPOSITORY / "cuvis_ai").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.JoinedStr(values=parts):
                    texts = [str(one.value) if isinstance(one, ast.Constant) else "…" for one in parts]
                    found.append("".join(texts))
                case ast.Constant(value=str(text)):
                    found.append(re.sub(r"%[-\d.]*[a-z]", "…", text))
    return found


def test_every_message_that_troubleshooting_quotes_stands_in_the_program() -> None:
    page = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| `")]
    texts = messages()
    assert len(quoted) > 35
    unknown = []
    for cell in quoted:
        marks = re.match(r"`+", cell)
        assert marks
        said = cell[marks.end() :].partition(marks[0])[0].strip()
        wanted = re.compile(".*?".join(map(re.escape, said.split("…"))), re.DOTALL)
        if not any(wanted.search(text) for text in texts):
            unknown.append(said)
    assert not unknown


def test_the_installation_page_names_every_extra() -> None:
    page = (REPOSITORY / "docs" / "install.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in page.partition("## Extras")[2].splitlines() if line[:3] == "| `"]
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        extras = set(tomllib.load(file)["project"]["optional-dependencies"])
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == extras


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
