import logging
import pickle
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Unpack

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from numpy.typing import NDArray

from cuvis_ai.data.datamodule import CubeDataModule, SplitItems
from cuvis_ai.data.loading.dataset import CubeItem
from cuvis_ai.data.loading.sampler import EpochSampler
from cuvis_ai.data.mask_sources import mask_in_memory
from cuvis_ai.data.options import CubeArguments
from cuvis_ai.errors import ConfigError, CubeFormatError
from cuvis_ai.types import Batch


class Files(CubeDataModule):
    """The files of a folder, dealt by count: the plainest data module there can be."""

    def __init__(
        self,
        folder: Path,
        counts: tuple[int, int, int],
        *,
        batch_size: int = 2,
        **options: Unpack[CubeArguments],
    ) -> None:
        super().__init__(batch_size=batch_size, **options)
        self.folder = folder
        self.counts = counts
        self.searches = 0

    def find_items(self) -> SplitItems:
        self.searches += 1
        paths = sorted([*self.folder.glob("*.npy"), *self.folder.glob("*.hdr")])
        items = [CubeItem(name=path.stem, path=path) for path in paths]
        n_train, n_val, n_test = self.counts
        return SplitItems(
            items[:n_train], items[n_train : n_train + n_val], items[-n_test:] if n_test else []
        )


def _write(folder: Path, n: int, *, shape: tuple[int, int, int] = (3, 4, 5)) -> NDArray[np.uint16]:
    """n cubes of random counts, c00.npy and so on."""
    cubes = np.random.default_rng(0).integers(0, 4000, size=(n, *shape), dtype=np.uint16)
    for i, cube in enumerate(cubes):
        np.save(folder / f"c{i:02d}.npy", cube)
    return cubes


def _write_envi(path: Path, cube: NDArray[Any], **fields: str) -> None:
    """An ENVI cube, BIP, with further header fields (`data_ignore_value` and so on)."""
    kinds = {"uint16": 12, "int16": 2, "float32": 4, "float64": 5}
    path.with_suffix(".img").write_bytes(np.ascontiguousarray(cube).tobytes())
    height, width, bands = cube.shape
    lines = [
        "ENVI",
        f"samples = {width}",
        f"lines = {height}",
        f"bands = {bands}",
        f"data type = {kinds[cube.dtype.name]}",
        "interleave = bip",
        "byte order = 0",
        *(f"{name.replace('_', ' ')} = {value}" for name, value in fields.items()),
    ]
    path.write_text("\n".join(lines) + "\n")


def _names(loader: Any) -> list[list[str]]:
    return [batch["name"] for batch in loader]


def _only(folder: Path, cube: NDArray[Any], **arguments: Any) -> Batch:
    """The one cube of a folder as its data module serves it."""
    np.save(folder / "only.npy", cube)
    batch: Batch = next(iter(Files(folder, (0, 0, 1), **arguments).test_dataloader()))
    return batch


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64", ">u2"])
def test_values_are_converted_and_never_scaled(tmp_path: Path, dtype: str) -> None:
    cube = np.random.default_rng(0).uniform(0, 250, size=(3, 4, 5)).astype(dtype)
    batch = _only(tmp_path, cube)
    assert batch["cube"].dtype == torch.float32
    np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0).numpy(), cube.astype(np.float32))
    assert "valid" not in batch  # every pixel is good


def test_complex_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CubeFormatError, match=r"only\.npy.*expected real numbers, got complex64"):
        _only(tmp_path, np.ones((2, 2, 2), dtype=np.complex64))


@pytest.mark.parametrize(
    ("dtype", "value", "arguments"),
    [
        ("float32", np.nan, {}),
        ("float32", -np.inf, {}),
        ("float64", 1e300, {}),  # beyond float32
        ("float32", -3.4028234663852886e38, {"no_data": -3.4028234663852886e38}),
        ("float32", -0.1, {"no_data": np.float64(-0.1)}),  # no float32 equals the float64 -0.1
        ("int16", -9999, {"no_data": -9999}),
        ("uint16", 4095, {"saturation": 4095}),
        ("uint16", 4096, {"saturation": 4095}),
    ],
)
def test_a_pixel_is_invalid_for_one_bad_band(
    tmp_path: Path, dtype: str, value: float, arguments: dict[str, float]
) -> None:
    cube = np.random.default_rng(0).integers(1, 4000, size=(6, 4, 5)).astype(dtype)
    cube[2, 3, 1] = value
    valid = _only(tmp_path, cube, **arguments)["valid"]
    assert valid.dtype == torch.bool
    assert (~valid).nonzero().tolist() == [[0, 2, 3]]


@pytest.mark.parametrize("no_data", [-9999, 0.5, 70000, np.nan])
def test_a_no_data_value_that_the_file_cannot_hold_marks_nothing(tmp_path: Path, no_data: float) -> None:
    cube = np.random.default_rng(0).integers(0, 2**16, size=(6, 4, 5)).astype(np.uint16)
    assert "valid" not in _only(tmp_path, cube, no_data=no_data)


def test_large_finite_values_are_valid(tmp_path: Path) -> None:
    assert "valid" not in _only(tmp_path, np.full((2, 3, 8), 3e38, dtype=np.float32))  # their sum is infinite


def test_a_cube_of_many_blocks_equals_the_file(tmp_path: Path) -> None:
    cube = np.random.default_rng(0).random((300, 200, 160), dtype=np.float32)  # 38 MB
    bad = np.zeros((300, 200), dtype=bool)
    bad[[0, 150, 299], [7, 199, 0]] = True
    cube[bad, 3] = np.nan
    batch = _only(tmp_path, cube)
    np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0).numpy(), cube)
    np.testing.assert_array_equal(~batch["valid"][0].numpy(), bad)


def test_the_header_decides_on_bands_wavelengths_and_no_data(tmp_path: Path) -> None:
    cube = np.random.default_rng(0).integers(1, 4000, size=(3, 4, 5)).astype(np.int16)
    cube[0, 1, 3] = -1
    cube[0, 2, 1] = -1  # in a bad band: nobody reads it
    fields = {
        "bbl": "{1, 0, 1, 1, 0}",
        "wavelength": "{400, 500, 600, 700, 800}",
        "wavelength_units": "nm",
        "data_ignore_value": "-1",
    }
    _write_envi(tmp_path / "a.hdr", cube, **fields)
    datamodule = Files(tmp_path, (0, 0, 1))
    batch = next(iter(datamodule.test_dataloader()))
    assert datamodule.band_indices == [0, 2, 3]
    assert datamodule.wavelengths is not None
    assert datamodule.wavelengths.tolist() == batch["wavelengths"].tolist() == [400, 600, 700]
    np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0).numpy(), cube[..., [0, 2, 3]])
    assert (~batch["valid"]).nonzero().tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("bad_bands", [[], [0, 4], [2]])
def test_a_list_of_bad_bands_replaces_the_header(tmp_path: Path, bad_bands: list[int]) -> None:
    kept = [band for band in range(5) if band not in bad_bands]
    cube = np.random.default_rng(0).integers(1, 4000, size=(3, 4, 5)).astype(np.int16)
    _write_envi(tmp_path / "a.hdr", cube, bbl="{1, 0, 1, 1, 0}")
    datamodule = Files(tmp_path, (0, 0, 1), bad_bands=bad_bands, wavelengths=[4.0, 5.0, 6.0, 7.0, 8.0])
    batch = next(iter(datamodule.test_dataloader()))
    assert datamodule.band_indices == kept
    assert batch["wavelengths"].tolist() == [4.0 + band for band in kept]
    np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0).numpy(), cube[..., kept])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bad_bands": [5]}, r"`bad_bands`: expected positions from 0 to 4.*\[5\]"),
        ({"bad_bands": range(5)}, "`bad_bands`: expected at least one good band of 5"),
        ({"wavelengths": [1.0]}, "`wavelengths`: expected 5 values.*got 1"),
    ],
)
def test_bands_that_the_cubes_do_not_have_are_refused(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    _write(tmp_path, 1)
    with pytest.raises(ConfigError, match=message):
        Files(tmp_path, (1, 0, 0), **arguments).setup()


@pytest.mark.parametrize(
    ("bands", "fields", "message"),
    [
        (4, {}, r"b\.hdr.*expected 5 bands as in .*a\.hdr, got 4"),
        (5, {"wavelength": "{400, 500, 600, 700, 802}"}, r"b\.hdr.*got band 4 at 802 nm instead of 800 nm"),
        (5, {"bbl": "{1, 1, 0, 1, 1}"}, r"b\.hdr.*got bands \[2\] flagged bad.*`bad_bands="),
    ],
)
def test_a_cube_with_other_bands_than_the_first_is_refused(
    tmp_path: Path, bands: int, fields: dict[str, str], message: str
) -> None:
    first = {"wavelength": "{400, 500, 600, 700, 800}", "wavelength_units": "nm", "bbl": "{1, 1, 1, 1, 1}"}
    _write_envi(tmp_path / "a.hdr", np.ones((2, 2, 5), dtype=np.int16), **first)
    others = {**first, **fields} if bands == 5 else {}
    _write_envi(tmp_path / "b.hdr", np.ones((2, 2, bands), dtype=np.int16), **others)
    with pytest.raises(CubeFormatError, match=message):
        list(Files(tmp_path, (0, 0, 2)).test_dataloader())


def test_wavelengths_rounded_differently_are_the_same(tmp_path: Path) -> None:
    for name, centre in (("a", "400.37"), ("b", "400.4")):
        fields = {"wavelength": f"{{{centre}, 500}}", "wavelength_units": "nm"}
        _write_envi(tmp_path / f"{name}.hdr", np.ones((2, 2, 2), dtype=np.int16), **fields)
    (batch,) = Files(tmp_path, (0, 0, 2)).test_dataloader()
    assert batch["wavelengths"].tolist() == pytest.approx([400.37, 500.0])


def test_setup_looks_once_and_serves_every_stage(tmp_path: Path) -> None:
    _write(tmp_path, 5)
    datamodule = Files(tmp_path, (3, 1, 1))
    for stage in ("fit", "validate", "test", "predict", None):
        datamodule.setup(stage)
    assert datamodule.searches == 1
    assert sorted(chain(*_names(datamodule.train_dataloader()))) == ["c00", "c01", "c02"]
    assert _names(datamodule.statistics_dataloader()) == [["c00", "c01"], ["c02"]]
    assert _names(datamodule.val_dataloader()) == [["c03"]]
    assert _names(datamodule.test_dataloader()) == [["c04"]]
    assert _names(datamodule.predict_dataloader()) == [["c00", "c01"], ["c02", "c03"], ["c04"]]


def test_the_training_order_follows_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, 8)

    def order(**arguments: Any) -> list[list[str]]:
        return _names(Files(tmp_path, (8, 0, 0), **arguments).train_dataloader())

    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    assert order() == order(seed=0) != order(seed=5)
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    assert order() == order(seed=5)


def test_an_epoch_does_not_move_the_global_generator(tmp_path: Path) -> None:
    _write(tmp_path, 4)
    before = torch.get_rng_state()
    list(Files(tmp_path, (4, 0, 0)).train_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def test_worker_processes_give_the_same_batches_epoch_after_epoch(tmp_path: Path) -> None:
    _write(tmp_path, 5)
    plain, parallel = (Files(tmp_path, (5, 0, 0), num_workers=n).train_dataloader() for n in (0, 2))
    for epoch in range(2):
        for loader in (plain, parallel):
            assert isinstance(loader.sampler, EpochSampler)
            loader.sampler.set_epoch(epoch)
        for expected, batch in zip(plain, parallel, strict=True):
            assert batch["name"] == expected["name"]
            assert torch.equal(batch["cube"], expected["cube"])
            assert batch["cube"].permute(0, 2, 3, 1).is_contiguous()


def test_a_data_set_travels_to_a_worker_without_its_pixels(tmp_path: Path) -> None:
    _write(tmp_path, 2, shape=(64, 64, 32))
    dataset = Files(tmp_path, (2, 0, 0)).statistics_dataloader().dataset
    expected = dataset[0]
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 10_000
    np.testing.assert_array_equal(pickle.loads(pickled)[0]["cube"], expected["cube"])


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
    _write(tmp_path, 5)

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
    _write(tmp_path, 5)
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
    _write(tmp_path, 2)
    datamodule = Files(tmp_path, (1, 0, 1))
    assert not datamodule.train_dataloader().pin_memory
    for device, pinned in (("cpu", False), ("cuda", True)):
        strategy = SimpleNamespace(root_device=torch.device(device))
        datamodule.trainer = SimpleNamespace(strategy=strategy)  # type: ignore[assignment]
        assert datamodule.train_dataloader().pin_memory is pinned


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_without_items_has_no_loader(tmp_path: Path, split: str) -> None:
    _write(tmp_path, 1)
    assert getattr(Files(tmp_path, (1, 0, 0)), f"{split}_dataloader")() == []


def test_training_without_items_is_an_error(tmp_path: Path) -> None:
    _write(tmp_path, 1)
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


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def test_a_damaged_cube_is_named(tmp_path: Path) -> None:
    _write(tmp_path, 4)
    _cut_short(tmp_path / "c02.npy")
    with pytest.raises(CubeFormatError, match=r'c02\.npy.*on_error="skip"'):
        list(Files(tmp_path, (0, 0, 4)).test_dataloader())


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("damaged", ["c00", "c02"])
def test_a_skipped_cube_has_no_valid_pixel_and_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damaged: str, num_workers: int
) -> None:
    cubes = _write(tmp_path, 4)
    _cut_short(tmp_path / f"{damaged}.npy")
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
    _write(tmp_path, 2)
    for name in ("c00", "c01"):
        _cut_short(tmp_path / f"{name}.npy")
    with pytest.raises(CubeFormatError, match="at least one readable cube, got none of 2"):
        Files(tmp_path, (2, 0, 0), on_error="skip").setup()


def test_a_data_set_without_items_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected at least one item in train, val or test"):
        Files(tmp_path, (1, 1, 1)).setup()


def test_an_item_in_two_splits_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, 3)
    with pytest.raises(ConfigError, match=r"every item in one split, got \['c02'\] more than once"):
        Files(tmp_path, (3, 0, 1)).setup()


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    class Masked(Files):
        def find_items(self) -> SplitItems:
            mask = mask_in_memory(np.zeros((4, 3), dtype=bool))
            return SplitItems(test=[CubeItem(name="a", path=self.folder / "c00.npy", mask=mask)])

    _write(tmp_path, 1)
    with pytest.raises(CubeFormatError, match=r"`a`: expected a mask of the cube's 3x4.*\(4, 3\)"):
        list(Masked(tmp_path, (0, 0, 1)).test_dataloader())


def test_impossible_arguments_are_named_together(tmp_path: Path) -> None:
    message = "`batch_size`.*got 0.*`num_workers`.*`seed`.*`bad_bands`.*`on_error`.*'ignore'"
    with pytest.raises(ConfigError, match=message):
        Files(
            tmp_path,
            (1, 0, 0),
            batch_size=0,
            num_workers=-1,
            seed=-1,
            bad_bands=[-1],
            on_error="ignore",  # type: ignore[arg-type]
        )
