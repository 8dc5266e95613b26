import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from cuvis_ai.data.loading.sampler import EpochSampler
from cuvis_ai.errors import ConfigError, CubeFormatError
from cuvis_ai.types import Batch
from tests.data.files import Files, cut_short, names_of, write_cubes


def test_setup_looks_once_and_serves_every_stage(tmp_path: Path) -> None:
    write_cubes(tmp_path, 5)
    datamodule = Files(tmp_path, (3, 1, 1))
    for stage in ("fit", "validate", "test", "predict", None):
        datamodule.setup(stage)
    assert datamodule.searches == 1
    assert sorted(chain(*names_of(datamodule.train_dataloader()))) == ["c00", "c01", "c02"]
    assert names_of(datamodule.statistics_dataloader()) == [["c00", "c01"], ["c02"]]
    assert names_of(datamodule.val_dataloader()) == [["c03"]]
    assert names_of(datamodule.test_dataloader()) == [["c04"]]
    assert names_of(datamodule.predict_dataloader()) == [["c00", "c01"], ["c02", "c03"], ["c04"]]


def test_the_training_order_follows_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cubes(tmp_path, 8)

    def order(**arguments: Any) -> list[list[str]]:
        return names_of(Files(tmp_path, (8, 0, 0), **arguments).train_dataloader())

    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    assert order() == order(seed=0) != order(seed=5)
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    assert order() == order(seed=5)


def test_an_epoch_does_not_move_the_global_generator(tmp_path: Path) -> None:
    write_cubes(tmp_path, 4)
    before = torch.get_rng_state()
    list(Files(tmp_path, (4, 0, 0)).train_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def test_worker_processes_give_the_same_batches_epoch_after_epoch(tmp_path: Path) -> None:
    write_cubes(tmp_path, 5)
    plain, parallel = (Files(tmp_path, (5, 0, 0), num_workers=n).train_dataloader() for n in (0, 2))
    for epoch in range(2):
        for loader in (plain, parallel):
            assert isinstance(loader.sampler, EpochSampler)
            loader.sampler.set_epoch(epoch)
        for expected, batch in zip(plain, parallel, strict=True):
            assert batch["name"] == expected["name"]
            assert torch.equal(batch["cube"], expected["cube"])
            assert batch["cube"].permute(0, 2, 3, 1).is_contiguous()


class Recorder(LightningModule):
    """Notes which cubes it saw at which step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, int, list[str]]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        self.seen.append((self.current_epoch, batch_idx, batch["name"]))
        return 0.0 * self.weight

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        raise AssertionError("there is nothing to validate on")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def quiet_lightning() -> Iterator[None]:
    names = ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("quiet_lightning")
@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_resumed_run_draws_what_an_uninterrupted_one_draws(tmp_path: Path, num_workers: int) -> None:
    write_cubes(tmp_path, 5)

    def run(callbacks: list[ModelCheckpoint], ckpt_path: Path | None) -> list[Any]:
        module = Recorder()
        trainer = Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            callbacks=list(callbacks),
            enable_checkpointing=bool(callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        datamodule = Files(tmp_path, (5, 0, 0), num_workers=num_workers, seed=3)
        trainer.fit(module, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=True)
        return module.seen

    every_step = ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1, every_n_train_steps=1)
    uninterrupted = run([every_step], None)
    assert [step for _, step, _ in uninterrupted] == [0, 1, 2, 0, 1, 2]
    for n_steps in (1, 3, 5):  # within the first epoch, between the epochs, within the second
        assert run([], tmp_path / f"step={n_steps}.ckpt") == uninterrupted[n_steps:]


@pytest.mark.usefixtures("quiet_lightning")
@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")
@pytest.mark.filterwarnings("ignore:You requested to overfit")
def test_overfitting_draws_the_same_batch_again_and_again(tmp_path: Path) -> None:
    write_cubes(tmp_path, 5)
    module = Recorder()
    trainer = Trainer(
        max_epochs=2,
        overfit_batches=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=Files(tmp_path, (5, 0, 0)))
    assert module.seen == [(0, 0, ["c00", "c01"]), (1, 0, ["c00", "c01"])]


def test_memory_is_pinned_for_a_gpu_only(tmp_path: Path) -> None:
    write_cubes(tmp_path, 2)
    datamodule = Files(tmp_path, (1, 0, 1))
    assert not datamodule.train_dataloader().pin_memory
    for device, pinned in (("cpu", False), ("cuda", True)):
        strategy = SimpleNamespace(root_device=torch.device(device))
        datamodule.trainer = SimpleNamespace(strategy=strategy)  # type: ignore[assignment]
        assert datamodule.train_dataloader().pin_memory is pinned


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_without_items_has_no_loader(tmp_path: Path, split: str) -> None:
    write_cubes(tmp_path, 1)
    assert getattr(Files(tmp_path, (1, 0, 0)), f"{split}_dataloader")() == []


def test_training_without_items_is_an_error(tmp_path: Path) -> None:
    write_cubes(tmp_path, 1)
    with pytest.raises(ConfigError, match="expected at least one training item"):
        Files(tmp_path, (0, 0, 1)).train_dataloader()


def test_cubes_of_two_sizes_need_padding(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 3, 4), dtype=np.float32))
    np.save(tmp_path / "b.npy", np.ones((3, 2, 4), dtype=np.float32))
    with pytest.raises(CubeFormatError, match="`b`: expected 2x3.*got 3x2.*pad=True"):
        list(Files(tmp_path, (0, 0, 2)).test_dataloader())
    (batch,) = Files(tmp_path, (0, 0, 2), pad=True).test_dataloader()
    assert batch["cube"].shape == (2, 4, 3, 3)
    assert batch["valid"].sum() == 12


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("damaged", ["c00", "c02"])
def test_a_skipped_cube_has_no_valid_pixel_and_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damaged: str, num_workers: int
) -> None:
    cubes = write_cubes(tmp_path, 4)
    cut_short(tmp_path / f"{damaged}.npy")
    datamodule = Files(tmp_path, (0, 0, 4), on_error="skip", num_workers=num_workers)
    batches = list(datamodule.test_dataloader())
    names = list(chain(*(batch["name"] for batch in batches)))
    assert names == ["c00", "c01", "c02", "c03"]
    cube = torch.cat([batch["cube"] for batch in batches]).permute(0, 2, 3, 1)
    valid = torch.cat([batch.get("valid", torch.ones(2, 3, 4, dtype=torch.bool)) for batch in batches])
    for i, name in enumerate(names):
        assert valid[i].all() if name != damaged else not valid[i].any()
        if name != damaged:
            np.testing.assert_array_equal(cube[i].numpy(), cubes[i])
    assert datamodule.skipped == [damaged]
    with caplog.at_level(logging.WARNING):
        datamodule.teardown("test")
    assert f"skipped 1 of 4 items: ['{damaged}']" in caplog.text


def test_nothing_but_damaged_cubes_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    write_cubes(tmp_path, 2)
    for name in ("c00", "c01"):
        cut_short(tmp_path / f"{name}.npy")
    with pytest.raises(CubeFormatError, match="at least one readable cube, got none of 2"):
        Files(tmp_path, (2, 0, 0), on_error="skip").setup()


def test_a_data_set_without_items_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected at least one item in train, val or test"):
        Files(tmp_path, (1, 1, 1)).setup()


def test_an_item_in_two_splits_is_refused(tmp_path: Path) -> None:
    write_cubes(tmp_path, 3)
    with pytest.raises(ConfigError, match=r"every item in one split, got \['c02'\] more than once"):
        Files(tmp_path, (3, 0, 1)).setup()
