"""Folders outside the repository, the browser, and how hypothesis draws; the rest is in ../conftest.py."""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]


class _TorchRandom:
    """Torch's generator in the form that hypothesis resets before each example."""

    def seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def getstate(self) -> torch.Tensor:
        return torch.get_rng_state()

    def setstate(self, state: torch.Tensor) -> None:
        torch.set_rng_state(state)


_TORCH_RANDOM = _TorchRandom()  # hypothesis keeps a weak reference only
hypothesis.register_random(_TORCH_RANDOM)
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(autouse=True)
def log_levels() -> Iterator[None]:
    """Set the package's log levels back, which a command sets for its process."""
    yield
    for name, one in logging.root.manager.loggerDict.items():
        if name.startswith("cuvis_ai") and isinstance(one, logging.Logger) and one.level:
            one.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the checkout that holds the specification and real data."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder ../shared beside the checkout, which is missing")
    return folder


@pytest.fixture(scope="session")
def scenes(shared: Path) -> Path:
    """The folder of real scenes in .mat files."""
    folder = shared / "data" / "scenes"
    if not folder.is_dir():
        pytest.skip("needs real scenes in ../shared/data/scenes, which is missing")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Debian's headless browser."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs the Debian package `chromium`, which is not installed")
    return path
