"""A saved graph, and what it holds."""

from pathlib import Path

import pytest

from fuzz.sealing import Contents
from tests.pipeline.test_graph import fitted


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "graph.zip"
    fitted().save_to_file(path)
    return path


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    path = tmp_path_factory.mktemp("saved") / "graph.zip"
    fitted().save_to_file(path)
    return Contents.of(path.read_bytes())
