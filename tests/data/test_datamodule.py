import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
import scipy.io
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.data.loading.sampler import EpochSampler
from cuvis_ai.errors import ConfigError, CubeFormatError
from cuvis_ai.types import Batch
from tests.data.files import Files, cut_short, names_of, write_cubes, write_envi


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


@pytest.mark.parametrize(("options", "value"), [({"no_data": -9}, -9), ({}, np.nan), ({"no_data": 0}, 0)])
def test_bands_without_data_in_the_whole_training_split_are_dropped(
    tmp_path: Path, options: dict[str, Any], value: float, caplog: pytest.LogCaptureFixture
) -> None:
    cubes = np.random.default_rng(0).uniform(1, 9, (4, 3, 4, 6)).astype("f4")
    cubes[:, :, :, 2] = value
    cubes[:3, :, :, 4] = value  # these are the training cubes
    cubes[0, :, :, 5] = value  # the other training cubes have data there
    for i, cube in enumerate(cubes):
        np.save(tmp_path / f"c{i}.npy", cube)
    module = Files(tmp_path, (3, 1, 0), **options)
    assert module.band_indices == [0, 1, 3, 5]
    assert module.bands_without_data == [2, 4]
    assert "bands [2, 4] hold no data in the whole training split" in caplog.text
    n_valid = [
        int(batch.get("valid", torch.ones(1, 12)).sum())
        for batch in Files(tmp_path, (3, 1, 0), batch_size=1, **options).statistics_dataloader()
    ]
    assert n_valid == ([12, 12, 12] if value == 0 else [0, 12, 12])


def test_without_a_training_split_no_band_is_dropped_and_the_reason_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cube = np.random.default_rng(0).uniform(1, 9, (3, 4, 6)).astype("f4")
    cube[:, :, 2] = np.nan
    np.save(tmp_path / "a.npy", cube)
    (batch,) = Files(tmp_path, (0, 0, 1)).test_dataloader()
    assert not batch["valid"].any()
    assert "a: no valid pixel: the bands [2] hold no data" in caplog.text


def test_a_doubt_is_logged_once_a_data_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_cubes(tmp_path, 5, shape=(30, 12, 10))
    module = Files(tmp_path, (3, 1, 1))
    list(module.train_dataloader())
    list(module.predict_dataloader())
    assert caplog.text.count("read as 30 rows, 12 columns and 10 bands") == 1
    caplog.clear()
    batch = next(iter(Files(tmp_path, (3, 1, 1), axes="chw").train_dataloader()))
    assert batch["cube"].shape[1:] == (30, 12, 10)
    assert not caplog.text


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ({"wavelength": "{1,2,3}"}, {"wavelengths": [400, 500, 600, 700, 800]}),
        ({"wavelength": "{a,b,c,d,e}"}, {"wavelengths": [400, 500, 600, 700, 800]}),
        ({"bbl": "{1,1}"}, {"bad_bands": [2]}),
        ({"data_ignore_value": "none"}, {"no_data": -1}),
    ],
)
def test_the_users_word_is_heard_before_the_files_is_parsed(
    tmp_path: Path, field: dict[str, str], options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    write_envi(tmp_path / "a.hdr", np.ones((3, 4, 5), "f4"), **field)
    module = Files(tmp_path, (1, 0, 0), **options)
    assert len(list(module.train_dataloader())) == 1
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def damage_npz(path: Path, cube: np.ndarray) -> None:
    np.savez_compressed(path, cube=cube)
    flip(path, 80)


def damage_mat(path: Path, cube: np.ndarray) -> None:
    scipy.io.savemat(path, {"cube": cube}, do_compression=True)
    flip(path, path.stat().st_size // 2)


def damage_hdf5(path: Path, cube: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["cube"] = cube
    flip(path, path.read_bytes().rindex(b"SNOD"))


def absurd_hdf5(path: Path, cube: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("cube", (10**6, 10**6, 5), "f4", chunks=(64, 64, 5))


def damage_tiff(path: Path, cube: np.ndarray) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", height=3, width=4, count=5, dtype="float32", compress="deflate"
    ) as file:
        file.write(cube.transpose(2, 0, 1))
    path.write_bytes(path.read_bytes()[:-60])


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".npz", damage_npz),
        (".mat", damage_mat),
        (".h5", damage_hdf5),
        (".h5", absurd_hdf5),
        (".tif", damage_tiff),
    ],
)
def test_whatever_the_decoder_cannot_read_is_skipped_or_named(
    tmp_path: Path, suffix: str, damage: Any
) -> None:
    cube = np.random.default_rng(0).random((3, 4, 5)).astype("f4")
    np.save(tmp_path / "a.npy", cube)
    damage(tmp_path / f"b{suffix}", cube)
    (tmp_path / "splits.json").write_text('{"train": ["a", "b"]}')
    skipping = CubeFolder(tmp_path, batch_size=1, on_error="skip")
    assert len(list(skipping.train_dataloader())) == 2
    assert skipping.skipped == ["b"]
    with pytest.raises(CubeFormatError, match=rf"b{suffix}"):
        list(CubeFolder(tmp_path, batch_size=1).train_dataloader())
