"""What tests and the examples in docstrings stand on: one thread, fixed seeds, and files that examples read.

Nothing of `cuvis_ai` is imported before a test runs: jaxtyping's hook has to see its modules first.
"""

import os

# One thread, so that sums are added in one order on every machine and two workers do not fight for cores.
# Set before numpy and torch read them; processes that tests start inherit them.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
os.environ.update(MPLBACKEND="Agg", WANDB_MODE="offline", WANDB_SILENT="true")

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tqdm.std import tqdm

import tests.typechecker  # noqa: F401 (jaxtyping's hook looks it up as an attribute of `tests`)

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def example_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what examples read: a scene, its mask, a detector, a data set of small cubes."""
    from cuvis_ai.scene_detection import detect
    from tests.data.files import write_envi
    from tests.lentils import write_lentils

    folder = tmp_path_factory.mktemp("examples")
    generator = np.random.default_rng(0)
    background = generator.normal(size=(40, 30, 3)).cumsum(0) @ generator.normal(size=(3, 8))
    scene = background + generator.normal(size=(40, 30, 8))
    scene[20, 10] += 20.0
    nanometres = ", ".join(str(450 + 50 * band) for band in range(8))
    write_envi(
        folder / "scene.hdr", scene.astype("f4"),
        wavelength=f"{{{nanometres}}}", wavelength_units="Nanometers",
    )  # fmt: skip
    np.save(folder / "mask.npy", np.arange(40 * 30).reshape(40, 30) == 20 * 30 + 10)
    detect(folder / "scene.hdr", save=folder / "detector.zip")
    write_lentils(folder / "Lentils", n_cubes=5, height=12, width=16)
    return folder


@pytest.fixture(autouse=True)
def _example_in_a_folder(request: pytest.FixtureRequest) -> None:
    """Run a docstring's example in a folder of its own, with those files, and without bars on the screen."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    monkeypatch, tmp_path = request.getfixturevalue("monkeypatch"), request.getfixturevalue("tmp_path")
    shutil.copytree(request.getfixturevalue("example_files"), tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    with_bar = tqdm.__init__
    monkeypatch.setattr(tqdm, "__init__", lambda bar, *a, **k: with_bar(bar, *a, **{**k, "disable": True}))


@pytest.fixture(autouse=True)
def _seeds(_example_in_a_folder: None) -> None:
    """Start every test from the same random state, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)  # third-party code draws from the legacy generator
    torch.manual_seed(0)
