"""What others install: the wheel without extras makes a map, the sdist's own tests pass where it is unpacked."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from cuvis_ai.errors import DISTRIBUTION
from tests.installed import closure
from tests.test_packaging import MODULES, PACKAGE

# Every module, an anomaly, a saved graph, and what to install for a file that an extra reads.
PROGRAM = r"""
import importlib, pkgutil
from pathlib import Path
import numpy as np, torch
import cuvis_ai
from cuvis_ai.data.cube import read_cube
from cuvis_ai.errors import MissingExtraError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.scene_detection import detect

assert "site-packages" in cuvis_ai.__file__, cuvis_ai.__file__
for module in pkgutil.walk_packages(cuvis_ai.__path__, "cuvis_ai."):
    importlib.import_module(module.name)
cube = np.random.default_rng(0).normal(size=(20, 30, 8)).astype("f4")
cube[7, 9] += 30
np.save("scene.npy", cube)
[found] = detect("scene.npy", save="detector.zip", detections=True)
[top] = found.detections
assert (round(top.row), round(top.column)) == (7, 9), top
scores = Graph.load_from_file("detector.zip")(torch.tensor(cube).permute(2, 0, 1)[None]).output
assert divmod(int(scores.argmax()), 30) == (7, 9)
Path("scene.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
try:
    read_cube("scene.h5")
except MissingExtraError as err:
    print(err)
"""


def run(*command: str | Path, folder: Path) -> str:
    """Return what a command prints, run in a folder without this checkout on the path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(target: str, repository: Path, folder: Path) -> Path:
    """Return the wheel or sdist of this checkout, built into a folder."""
    build = (sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", folder)
    run(*build, folder=repository)
    [found] = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return found


def link_packages(names: set[str], site: Path) -> None:
    """Link what distributions have installed, but for their commands, into another folder of packages."""
    for one in map(distribution, names):
        for top in {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(str(one.locate_file(top)))


def test_wheel_carries_typing_marker_and_configuration(repository, tmp_path):
    shipped = set(zipfile.ZipFile(built("wheel", repository, tmp_path)).namelist())
    expected = [PACKAGE / "py.typed", *PACKAGE.rglob("*.yaml"), *MODULES]
    missing = {path.relative_to(PACKAGE.parent).as_posix() for path in expected} - shipped
    assert not missing


@pytest.mark.slow
def test_wheel_without_extras_makes_a_map(repository, tmp_path):
    """In an environment with what it requires and nothing else; pip itself judges that nothing is missing.

    What it requires is linked from the environment of these tests, which saves the network and minutes.
    """
    wheel = built("wheel", repository, tmp_path)
    venv.create(tmp_path / "env", with_pip=True)
    paths = {
        name: sysconfig.get_path(name, "venv", {"base": str(tmp_path / "env")})
        for name in ("purelib", "scripts")
    }
    link_packages(closure(DISTRIBUTION) - {DISTRIBUTION}, Path(paths["purelib"]))
    python, command = (Path(paths["scripts"]) / name for name in ("python", "cuvis-ai"))
    run(python, "-m", "pip", "install", "--no-index", wheel, folder=tmp_path)
    run(python, "-m", "pip", "check", folder=tmp_path)
    assert f'pip install "{DISTRIBUTION}[hdf5]"' in run(python, "-c", PROGRAM, folder=tmp_path)
    run(command, "detect", "scene.npy", "--out", "maps", folder=tmp_path)
    assert list((tmp_path / "maps").glob("scene*.hdr"))


def test_sdist_carries_all_that_the_checkout_tracks(repository, tmp_path):
    if not (repository / ".git").exists():
        pytest.skip("needs a checkout: an unpacked sdist tracks nothing")
    tracked = set(run("git", "ls-files", folder=repository).splitlines())
    with tarfile.open(built("sdist", repository, tmp_path)) as archive:
        shipped = {name.partition("/")[2] for name in archive.getnames()}
    assert not {name for name in tracked if (repository / name).exists()} - shipped
    top = {name.partition("/")[0] for name in tracked}
    assert {name.partition("/")[0] for name in shipped} == top | {"PKG-INFO"}


@pytest.mark.slow
def test_sdist_passes_its_own_tests_where_it_is_unpacked(repository, tmp_path):
    """Those that look at the whole checkout, and a node's; the others do not see where they lie."""
    with tarfile.open(built("sdist", repository, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    [unpacked] = (path for path in tmp_path.iterdir() if path.is_dir())
    files = [f"tests/{name}.py" for name in ("test_structure", "test_docs", "node/test_pca")]
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *files]
    done = subprocess.run(command, cwd=unpacked, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
