"""Plug-ins: found by name once allowed, never imported before; the template works where it is installed."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.data import format_search
from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.data.format_search import allow_formats, format_of
from cuvis_ai.errors import ConfigError, CubeFormatError
from cuvis_ai.node.base import Node
from cuvis_ai.pipeline.build import build
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.saving.class_path import resolve
from cuvis_ai.plugins import MONITORS, NODES, offered, path_of, within
from fuzz.sealing import Contents
from tests.conftest import REPOSITORY
from tests.pipeline.saving.untrusted import changed

TEMPLATE = REPOSITORY / "examples" / "plugin"

Install = Callable[..., str]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return what lays a package with entry points where Python looks for packages."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(format_search, "_plugged", {})
    monkeypatch.setattr(format_search, "_allowed", [])
    names = []

    def lay(name: str, source: str, **groups: str) -> str:
        names.append(name)
        (tmp_path / f"{name}.py").write_text(source)
        metadata = tmp_path / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"[cuvis_ai.{group}]\n{line}\n" for group, line in groups.items()]
        (metadata / "entry_points.txt").write_text("\n".join(lines))
        return name

    yield lay
    for name in names:
        sys.modules.pop(name, None)


PLAIN = "from cuvis_ai.node.base import Node\nclass Plain(Node):\n    def forward(self, cube):\n        return cube\n"


def test_a_name_stands_for_the_class_once_its_package_is_allowed(install: Install) -> None:
    install("plug_plain", PLAIN, nodes="plain = plug_plain:Plain")
    assert resolve("plain", (Node,), ["plug_plain"], group=NODES) is sys.modules["plug_plain"].Plain


def test_nothing_is_imported_before_allow_names_it(install: Install) -> None:
    bad = "raise SystemExit('imported')"
    install(
        "plug_bad",
        bad,
        nodes="bad = plug_bad:Bad",
        formats="bad = plug_bad:FORMAT",
        monitors="bad = plug_bad:Bad",
    )
    for group in (NODES, MONITORS):
        with pytest.raises(ConfigError, match=r"installed package that offers it, pass allow=\['plug_bad'\]"):
            resolve("bad", (Node,), ["another_package", "plug_ba"], group=group)
    allow_formats(["another_package"])
    assert offered(NODES, ["plug_bad"])
    assert "plug_bad" not in sys.modules


def test_a_plug_in_cannot_name_what_is_no_class_of_its_kind(install: Install) -> None:
    install("plug_os", "from os import system", nodes="shell = plug_os:system\nfloat = plug_os:float")
    with pytest.raises(ConfigError, match="defines no class `system`"):
        resolve("shell", (Node,), ["plug_os"], group=NODES)


def test_a_plug_in_of_another_version_is_an_error_of_ours(install: Install) -> None:
    install("plug_old", "from cuvis_ai.node.base import Removed", nodes="old = plug_old:Old")
    with pytest.raises(ConfigError, match="expected `plug_old` to import, got: cannot import name 'Removed'"):
        resolve("old", (Node,), ["plug_old"], group=NODES)


def test_a_plug_in_does_not_widen_what_is_allowed(install: Install) -> None:
    """An allowed package that offers another package's class does not get that one imported."""
    install("plug_other", "", nodes="thread = threading:Thread\nthread_2 = plug_other.threading:Thread")
    with pytest.raises(ConfigError, match=r"pass allow=\['threading'\]"):
        resolve("thread", (Node,), ["plug_other"], group=NODES)


def test_two_plug_ins_of_one_name_are_told_apart_by_what_is_allowed(install: Install) -> None:
    install("plug_one", PLAIN, nodes="twice = plug_one:Plain")
    install("plug_two", PLAIN, nodes="twice = plug_two:Plain")
    assert path_of("twice", NODES, ["plug_two"]) == "plug_two:Plain"
    with pytest.raises(ConfigError, match="plug_one:Plain and plug_two:Plain"):
        path_of("twice", NODES, ["plug_one", "plug_two"])


def test_an_unknown_name_says_that_no_package_offers_it() -> None:
    with pytest.raises(ConfigError, match=r"No installed package offers that name in `cuvis_ai\.nodes`"):
        path_of("no_such_node", NODES, ["numpy"])


def test_a_configuration_cannot_allow_a_plug_in(install: Install) -> None:
    install(
        "plug_bad",
        "raise SystemExit('imported')",
        nodes="bad = plug_bad:Bad",
        formats="bad = plug_bad:FORMAT",
    )
    with pytest.raises(ConfigError, match="`allow`: expected on the command line"):
        build({"allow": ["plug_bad"], "nodes": {"bad": {"_target_": "bad"}}, "datamodule": {}})
    assert "plug_bad" not in sys.modules


def test_an_archive_may_name_a_node_by_the_name_of_its_plug_in(install: Install, tmp_path: Path) -> None:
    install("plug_plain", PLAIN, nodes="plain = plug_plain:Plain")
    graph = Graph("plain")
    graph.add_node(resolve("plain", (Node,), ["plug_plain"], group=NODES)())
    graph.save_to_file(tmp_path / "graph.zip")
    written = Contents.of((tmp_path / "graph.zip").read_bytes())
    named = changed(written, lambda manifest: manifest["nodes"][0].update({"class": "plain"}))
    (tmp_path / "graph.zip").write_bytes(named)
    with pytest.raises(ValueError, match=r"pass allow=\['plug_plain'\]"):
        Graph.load_from_file(tmp_path / "graph.zip")
    assert list(Graph.load_from_file(tmp_path / "graph.zip", allow=["plug_plain"]).nodes) == ["plain"]


FORMAT = """
from pathlib import Path
import numpy as np
from cuvis_ai.data.sources.contents import CubeContents
from cuvis_ai.data.sources.cube_format import CubeFormat
from cuvis_ai.data.sources.raw import RawSource

def read(path, key):
    return CubeContents(source=RawSource(
        path=path, offset=4, dtype=np.dtype("u1"), shape=(2, 3, 4), order=(0, 1, 2)))

FORMAT = CubeFormat(read=read, suffixes=(".plug",), signatures=((0, b"PLUG"), (0, b"ENVI")))
"""
PIXELS = np.arange(24, dtype="u1").reshape(2, 3, 4)


@pytest.fixture
def plugged_folder(install: Install, tmp_path: Path) -> Path:
    """Return a folder of cubes in the format of a plug-in, `plug_format`, that is not allowed yet."""
    install("plug_format", FORMAT, formats="plug = plug_format:FORMAT")
    folder = tmp_path / "cubes"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.plug").write_bytes(b"PLUG" + PIXELS.tobytes())
    return folder


def test_a_format_is_read_once_allowed(plugged_folder: Path) -> None:
    with pytest.raises(CubeFormatError, match=r"expected .*\.npy"):
        format_of(plugged_folder / "a.plug")
    allow_formats(["plug_format"])
    module = CubeFolder(str(plugged_folder), batch_size=1)
    module.setup("fit")
    [batch, *_] = module.train_dataloader()
    assert np.array_equal(batch["cube"][0].permute(1, 2, 0).numpy(), PIXELS)


def test_a_plug_in_takes_no_file_from_our_formats(plugged_folder: Path) -> None:
    allow_formats(["plug_format"])
    (plugged_folder / "scene.hdr").write_text("ENVI\nsamples = 3\n")
    assert format_of(plugged_folder / "scene.hdr").suffixes == (".hdr",)


def _first_values(pickled: bytes) -> list[int]:
    """Return the first values of a data set, in a process that has been told of no plug-in."""
    return [int(value) for value in pickle.loads(pickled)[0]["cube"].ravel()[:3]]


def test_worker_processes_that_are_not_forked_read_the_format(plugged_folder: Path) -> None:
    allow_formats(["plug_format"])
    module = CubeFolder(str(plugged_folder))
    module.setup("fit")
    pickled = pickle.dumps(module.train_dataloader().dataset)
    format_search._plugged.clear()
    format_search._allowed.clear()
    assert _first_values(pickled) == [0, 1, 2]


def test_what_is_no_format_is_refused(install: Install) -> None:
    install("plug_none", "FORMAT = 3", formats="none = plug_none:FORMAT\n")
    with pytest.raises(
        ConfigError, match=r"plug-in `none` of `cuvis_ai\.formats`: expected a CubeFormat, got 3"
    ):
        allow_formats(["plug_none"])
    install("plug_gone", "", formats="gone = plug_gone:FORMAT\n")
    with pytest.raises(ConfigError, match=r"plug-in `gone`.* Reinstall its package"):
        allow_formats(["plug_gone"])


@pytest.mark.parametrize(
    ("module", "packages", "expected"),
    [("a", ["a"], True), ("a.b", ["a"], True), ("ab", ["a"], False), ("a", ["a.b"], False), ("a", [], False)],
)
def test_within(module: str, packages: list[str], expected: bool) -> None:
    assert within(module, packages) is expected


@pytest.mark.slow
def test_the_template_passes_its_test_where_it_is_installed(tmp_path: Path) -> None:
    run = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
    ]
    subprocess.run([*run, "--target", str(tmp_path), str(TEMPLATE)], check=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPOSITORY)])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(TEMPLATE)]
    command += ["-c", os.devnull, str(TEMPLATE / "tests")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
