"""`cuvis-ai fit-shard`; what becomes of its files is tested with `merge`."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.cli.command_line import main
from cuvis_ai.pipeline.graph import Graph


def test_shards_beyond_the_scenes_are_empty_and_impossible_ones_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "scene.npy", np.random.default_rng(0).normal(size=(6, 9, 4)))
    graph = Graph("rx")
    graph.add_node(RXGlobal())
    graph.save_to_file(tmp_path / "graph.zip")
    given = ["fit-shard", str(tmp_path / "graph.zip"), str(tmp_path / "scene.npy")]
    parts = [str(tmp_path / f"part{i}") for i in (1, 2)]
    for i, part in enumerate(parts, 1):
        assert main([*given, "--shard", f"{i}/2", "--out", part]) == 0
    assert graph.fit_from(parts) == []
    assert main([*given, "--shard", "3/2", "--out", str(tmp_path / "part3")]) == 1
    assert "expected `shard` as (i, n)" in capsys.readouterr().err


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit-shard", "--help"])
    assert "cuvis-ai fit-shard graph.zip flight/*.hdr --shard 3/8" in capsys.readouterr().out
