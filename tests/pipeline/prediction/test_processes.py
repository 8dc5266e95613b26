"""Two processes write what one writes, byte for byte, and say what one says."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch

from cuvis_ai.cli.command_line import main
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction import processes
from cuvis_ai.pipeline.prediction.settings import PredictionSettings
from tests.cubes import Batches, as_batches, random_cubes
from tests.data.files import write_envi
from tests.pipeline.prediction.conftest import FIELDS, STATISTICS_ONLY, values
from tests.pipeline.prediction.test_predictor import contents


class Dying(Node):
    """A node that ends the process that uses it, if that is not the first one."""

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return cube


@pytest.mark.slow
def test_two_processes_two_shards_and_one_process_write_equal_bytes(
    graph: Graph, scene: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for seed, name in enumerate("bcd", 1):
        write_envi(scene.with_name(f"{name}.hdr"), values(seed), **FIELDS)
    scene.with_name("broken.hdr").write_text("ENVI\nsamples = 3\n")
    graph.save_to_file(tmp_path / "graph.zip")
    given = [str(tmp_path / "graph.zip"), str(scene.parent), "--threshold", "4", "--mask", "--detections"]

    def predict(out: str, *options: str) -> int:
        return main(["predict", *given, "--out", str(tmp_path / out), *options])

    # The others are done, and the exit status says that one is not.
    assert predict("one") == 1
    # Of five scenes of one strip the last one, which is broken, is the first process's.
    assert [predict("shards", "--shard", f"{i}/2") for i in (2, 1)] == [0, 1]
    caplog.clear()
    caplog.set_level("INFO", "cuvis_ai")
    assert predict("processes", "--devices", "2") == 1
    assert sum("40x24 pixels, 1 detection," in line for line in caplog.messages) == 4
    assert sum("broken.hdr: not predicted" in line for line in caplog.messages) == 1
    expected = contents(tmp_path / "one")
    assert {f"{name}_prediction.json" for name in "abcd"} <= expected.keys()
    assert contents(tmp_path / "shards") == contents(tmp_path / "processes") == expected


@pytest.mark.slow
def test_trained_weights_reach_the_processes_in_the_order_of_the_scenes(tmp_path: Path) -> None:
    graph = Graph("hard")
    graph.add_node(TrainablePCA(3, trainable=True, orthogonal="hard"))
    graph.train(Batches(as_batches(random_cubes(4, c=5))), STATISTICS_ONLY)
    graph.nodes["trainable_pca"].prepare_for_train()  # type: ignore[operator]  # as training does
    scenes = [tmp_path / "b.hdr", tmp_path / "a.hdr"]
    for seed, path in enumerate(scenes):
        write_envi(path, values(seed))
    alone = graph.predict(scenes)
    found = graph.predict(scenes, tmp_path / "maps", devices=2)
    assert [one.name for one in found] == ["b", "a"]
    for one, other in zip(found, alone, strict=True):
        assert (one.scores[...] == other.scores).all()


@pytest.mark.slow
def test_a_process_that_is_killed_is_an_error_that_says_how_to_go_on(scene: Path, tmp_path: Path) -> None:
    graph = Graph("dying")
    graph.add_node(Dying())
    with pytest.raises(GraphError, match=r"exit status \[-9\].*--resume"):
        graph.predict(scene.parent, tmp_path / "maps", devices=2)


@pytest.mark.slow
def test_ctrl_c_ends_the_processes(
    graph: Graph,
    scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def interrupted(receivers: object) -> None:
        for child in multiprocessing.active_children():  # as a terminal does
            os.kill(child.pid or 0, signal.SIGINT)
        raise KeyboardInterrupt

    monkeypatch.setattr(processes, "_received", interrupted)
    with pytest.raises(KeyboardInterrupt):
        graph.predict(scene, tmp_path / "maps", devices=2)
    assert multiprocessing.active_children() == []
    assert "KeyboardInterrupt" not in capfd.readouterr().err


def test_several_processes_need_a_folder_and_one_is_the_least(graph: Graph, scene: Path) -> None:
    with pytest.raises(ConfigError, match=r"Pass `out=`"):
        graph.predict(scene, devices=2)
    with pytest.raises(ConfigError, match="`devices` of 1 or more, got 0"):
        PredictionSettings(devices=0)
