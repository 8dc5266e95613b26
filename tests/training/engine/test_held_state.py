"""What a checkpoint holds besides weights: each part in its form, or refused before anything changes."""

import copy
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.engine.undisturbed import random_state, restore_random_state
from cuvis_ai.training.losses import AnomalyBCEWithLogits
from tests.graphs import data, scoring, settings

Checkpoint = dict[str, Any]

pytestmark = pytest.mark.filterwarnings("ignore:The dirpath has changed", "ignore:Checkpoint directory")


def train(folder: Path, epochs: int, ckpt_path: Path | None = None) -> Graph:
    graph = scoring(stats="follow")
    graph.add_leaf_node(AnomalyBCEWithLogits(), parent="head")
    callbacks = [
        ModelCheckpoint(folder, filename="a", monitor="train/loss/total"),
        EarlyStopping("train/loss/total", patience=9),
    ]
    graph.train(data(), settings(epochs, callbacks=callbacks), ckpt_path=ckpt_path)
    return graph


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("sound")
    train(folder, 2)
    return (folder / "a.ckpt").read_bytes()


def own(key: str, value: object) -> Callable[[Checkpoint], object]:
    return lambda c: c["cuvis_ai"].update({key: value})


def random_part(key: str, value: object) -> Callable[[Checkpoint], object]:
    return lambda c: c["cuvis_ai"]["random"].update({key: value})


def position_of_numpy(position: int) -> Callable[[Checkpoint], object]:
    def change(checkpoint: Checkpoint) -> None:
        name, keys, _, *rest = checkpoint["cuvis_ai"]["random"]["numpy"]
        checkpoint["cuvis_ai"]["random"]["numpy"] = (name, keys, position, *rest)

    return change


def moments(**values: Any) -> Callable[[Checkpoint], object]:
    return lambda c: [state.update(values) for state in c["optimizer_states"][0]["state"].values()]


def group(**values: Any) -> Callable[[Checkpoint], object]:
    return lambda c: c["optimizer_states"][0]["param_groups"][0].update(values)


def loop(name: str, **values: Any) -> Callable[[Checkpoint], object]:
    return lambda c: c["loops"]["fit_loop"][name]["current"].update(values)


def state_of(callback: str, **values: Any) -> Callable[[Checkpoint], object]:
    return lambda c: [s.update(values) for key, s in c["callbacks"].items() if key.startswith(callback)]


CHANGES: dict[str, Callable[[Checkpoint], object]] = {
    "no state of ours": lambda c: c.update(cuvis_ai={}),
    "ours of another type": lambda c: c.update(cuvis_ai=[]),
    "stopped": own("stopped", "yes"),
    "best": own("best", "xy"),
    "best of one number": own("best", (1.0,)),
    "sums of another loss": own("sums", {"nope": [1]}),
    "sums of another shape": own("sums", {"bce": torch.zeros(3)}),
    "sums that are not finite": own("sums", {"bce": torch.tensor([torch.nan, 1.0])}),
    "scheduler": own("scheduler", {"best": "x"}),
    "scheduler's count": lambda c: c["cuvis_ai"]["scheduler"].update(num_bad_epochs=-1),
    "no random state": own("random", {}),
    "torch's random state": random_part("torch", torch.zeros(3, dtype=torch.uint8)),
    "Python's random state": random_part("python", (3, (1, 2), None)),
    "NumPy's position beyond its state": position_of_numpy(10**6),
    "NumPy's position before its state": position_of_numpy(-5),
    "run": own("run", 5),
    "an empty graph of the run": lambda c: c["cuvis_ai"]["run"].update(graph={}),
    "squares that are none": moments(exp_avg_sq=None),
    "run's graph": lambda c: c["cuvis_ai"]["run"].update(graph={"nodes": 5}),
    "run's bands": lambda c: c["cuvis_ai"]["run"].update(bands={"wavelengths": "[1", "indices": "null"}),
    "callbacks": lambda c: c.update(callbacks=[]),
    "early stopping": state_of("EarlyStopping", wait_count="x"),
    "early stopping's best": state_of("EarlyStopping", best_score=torch.zeros(7)),
    "loops that are a tensor": lambda c: c.update(loops=torch.eye(3)),
    "no best model": lambda c: [s.pop("best_model_path", None) for s in c["callbacks"].values()],
    "loops' key": loop("epoch_progress", reset=1),
    "loops' type": loop("epoch_loop.batch_progress", started="x"),
    "a negative count": loop("epoch_loop.batch_progress", started=-1),
    "steps": lambda c: c.update(global_step=7),
    "epoch": lambda c: c.update(epoch=7),
    "a loop missing": lambda c: c["loops"]["fit_loop"].pop("epoch_loop.scheduler_progress"),
    "no optimizer": lambda c: c.update(optimizer_states=[]),
    "moments of another shape": moments(exp_avg=torch.zeros(99)),
    "moments that are not finite": moments(exp_avg=torch.tensor(torch.inf)),
    "negative squares": lambda c: [s["exp_avg_sq"].neg_() for s in c["optimizer_states"][0]["state"].values()],
    "moments of whole numbers": lambda c: [s.update(exp_avg=s["exp_avg"].long()) for s in c["optimizer_states"][0]["state"].values()],
    "moments missing": lambda c: [s.pop("exp_avg") for s in c["optimizer_states"][0]["state"].values()],
    "parameters of another number": group(params=[0]),
    "a rate that is none": group(lr="x"),
    "a negative rate": group(lr=-1.0),
    "a tensor missing": lambda c: c["state_dict"].pop("nodes.pca.mean"),
    "a tensor too many": lambda c: c["state_dict"].update({"nodes.pca.more": torch.zeros(1)}),
    "a tensor of another type": lambda c: c["state_dict"].update({"nodes.pca.mean": c["state_dict"]["nodes.pca.mean"].half()}),
    "a tensor of another shape": lambda c: c["state_dict"].update({"nodes.pca.mean": torch.zeros(6)}),
    "a leaf's tensor of another shape": lambda c: [c["state_dict"].update({k: torch.zeros(3)}) for k in [*c["state_dict"]] if k.startswith("leaves.")],
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_part_is_refused_and_the_graph_is_as_it_was(
    change: Callable[[Checkpoint], object], sound: bytes, tmp_path: Path
) -> None:
    checkpoint: Checkpoint = torch.load(io.BytesIO(sound), weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, tmp_path / "changed.ckpt")
    graph, datamodule = scoring(stats="follow"), data()
    graph.add_leaf_node(AnomalyBCEWithLogits(), parent="head")
    before = copy.deepcopy(graph.state_dict())
    watched = "train/loss/total"
    callbacks = [ModelCheckpoint(tmp_path, filename="a", monitor=watched), EarlyStopping(watched, patience=9)]
    with pytest.raises(ConfigError) as caught:
        graph.train(datamodule, settings(3, callbacks=callbacks), ckpt_path=tmp_path / "changed.ckpt")
    assert len(str(caught.value)) < 2000
    assert str(caught.value).replace("\n", " ").isprintable()
    assert datamodule.sets["train"].reads == 0
    after = graph.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_sound_one_goes_on(sound: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(sound)
    again, whole = train(tmp_path / "b", 3, tmp_path / "a.ckpt"), train(tmp_path / "c", 3)
    one, two = again.state_dict(), whole.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_numbers_go_on_where_the_state_was_taken() -> None:
    state = random_state()
    drawn = [(random.random(), np.random.random(), float(torch.rand(()))) for _ in range(2)]
    restore_random_state(state)
    assert drawn == [(random.random(), np.random.random(), float(torch.rand(()))) for _ in range(2)]
