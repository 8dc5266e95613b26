"""`cuvis-ai fit-shard` and `merge`: two shares give the graph that one run over all scenes gives."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.cli.command_line import main
from cuvis_ai.data.scene_list import SceneList
from cuvis_ai.pipeline.graph import Graph
from tests.graphs import STATISTICS_ONLY


def test_two_shares_are_merged_into_the_graph_of_one_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scenes").mkdir()
    for i in range(3):
        np.save(tmp_path / "scenes" / f"{i}.npy", np.random.default_rng(i).normal(size=(6, 9, 4)))
    graph = Graph("rx")
    graph.add_node(RXGlobal())
    graph.save_to_file(tmp_path / "graph.zip")
    named, scenes = str(tmp_path / "graph.zip"), str(tmp_path / "scenes")
    parts = [str(tmp_path / f"part{i}.safetensors") for i in (1, 2)]
    for i, part in enumerate(parts, 1):
        assert main(["fit-shard", named, scenes, "--shard", f"{i}/2", "--out", part]) == 0
    assert main(["merge", named, *parts[:1], "--out", str(tmp_path / "fitted.zip")]) == 1
    assert "Name the files of all shares" in capsys.readouterr().err
    assert main(["merge", named, *parts, "--out", str(tmp_path / "fitted.zip")]) == 0
    assert "all nodes are fitted" in capsys.readouterr().out

    graph.train(SceneList(sorted((tmp_path / "scenes").iterdir())), STATISTICS_ONLY)
    fitted, cube = Graph.load_from_file(tmp_path / "fitted.zip"), torch.randn(1, 4, 5, 5)
    torch.testing.assert_close(fitted(cube).output, graph(cube).output, rtol=1e-5, atol=1e-6)


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["merge", "--help"])
    assert "cuvis-ai merge graph.zip part*.safetensors" in capsys.readouterr().out
