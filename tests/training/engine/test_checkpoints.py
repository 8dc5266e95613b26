"""Checkpoints from strangers: no code is run, and what is no checkpoint is a `ConfigError`."""

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from cuvis_ai.errors import ConfigError
from tests.training.engine.test_trainer import data, pca_graph, settings


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    graph, _ = pca_graph()
    graph.train(data(), settings(1, callbacks=[ModelCheckpoint(dirpath=folder, save_last=True)]))
    return folder / "last.ckpt"


def refused(path: Path) -> str:
    graph, pca = pca_graph()
    datamodule = data()
    with pytest.raises(ConfigError, match="ckpt_path") as caught:
        graph.train(datamodule, settings(2), ckpt_path=path)
    assert datamodule.sets["train"].reads == 0
    assert not pca.fitted
    return str(caught.value)


@pytest.mark.parametrize("write", [torch.save, lambda what, path: path.write_bytes(pickle.dumps(what))], ids=["torch", "pickle"])  # fmt: skip
def test_code_in_a_checkpoint_is_not_run(
    sound: Path, tmp_path: Path, write: Callable[[Any, Path], object]
) -> None:
    mark, path = tmp_path / "mark", tmp_path / "bomb.ckpt"
    checkpoint = torch.load(sound, weights_only=True)
    write({**checkpoint, "hyper_parameters": Bomb(mark)}, path)
    text = refused(path)
    assert "asks for code to be run" in text
    assert "weights_only=False" not in text  # torch's own message says how to run it
    assert not mark.exists()
    if write is torch.save:
        torch.load(path, weights_only=False)  # the bomb is live
        assert mark.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_cut_checkpoint_is_refused(sound: Path, tmp_path: Path, share: float) -> None:
    content = sound.read_bytes()
    path = tmp_path / "cut.ckpt"
    path.write_bytes(content[: int(len(content) * share)])
    assert "damaged" in refused(path)


def tensor(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda checkpoint: checkpoint["state_dict"].update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("state_dict"), "of another program"),
        (lambda c: c.update(epoch="1"), "expected a Lightning checkpoint"),
        (tensor("nodes.trainable_pca.mean", 7), "expected a tensor as large as it says"),
        (tensor("nodes.trainable_pca.components", torch.zeros(1).expand(10**6, 10**6)), "expected a tensor as large as it says"),
        (tensor("leaves.other.x", torch.zeros(1)), "of a graph with other leaves"),
    ],
    ids=["no state", "epoch of another type", "number as tensor", "tensor of few bytes", "another graph"],
)  # fmt: skip
def test_forged_checkpoint_is_refused(
    sound: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    checkpoint = torch.load(sound, weights_only=True)
    change(checkpoint)
    with warnings.catch_warnings():
        torch.save(checkpoint, tmp_path / "forged.ckpt")
    assert message in refused(tmp_path / "forged.ckpt")
