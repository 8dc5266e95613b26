import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from cuvis_ai.data.datamodule import SplitItems
from cuvis_ai.data.loading.dataset import CubeItem
from cuvis_ai.data.loading.sampler import Repeated
from cuvis_ai.data.mask_sources import mask_in_memory
from cuvis_ai.errors import CubeFormatError
from tests.data.files import Files, cut_short, only_cube, write_cubes


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64", ">u2"])
def test_values_are_converted_and_never_scaled(tmp_path: Path, dtype: str) -> None:
    cube = np.random.default_rng(0).uniform(0, 250, size=(3, 4, 5)).astype(dtype)
    batch = only_cube(tmp_path, cube)
    assert batch["cube"].dtype == torch.float32
    np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0).numpy(), cube.astype(np.float32))
    assert "valid" not in batch  # every pixel is good


def test_complex_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CubeFormatError, match=r"only\.npy.*expected real numbers, got complex64"):
        only_cube(tmp_path, np.ones((2, 2, 2), dtype=np.complex64))


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
    valid = only_cube(tmp_path, cube, **arguments)["valid"]
    assert valid.dtype == torch.bool
    assert (~valid).nonzero().tolist() == [[0, 2, 3]]


@pytest.mark.parametrize("no_data", [-9999, 0.5, 70000, np.nan])
def test_a_no_data_value_that_the_file_cannot_hold_marks_nothing(tmp_path: Path, no_data: float) -> None:
    cube = np.random.default_rng(0).integers(0, 2**16, size=(6, 4, 5)).astype(np.uint16)
    assert "valid" not in only_cube(tmp_path, cube, no_data=no_data)


def test_large_finite_values_are_valid(tmp_path: Path) -> None:
    assert "valid" not in only_cube(
        tmp_path, np.full((2, 3, 8), 3e38, dtype=np.float32)
    )  # their sum is infinite


def test_a_cube_of_many_blocks_equals_the_file(tmp_path: Path) -> None:
    cube = np.random.default_rng(0).random((300, 200, 160), dtype=np.float32)  # 38 MB
    bad = np.zeros((300, 200), dtype=bool)
    bad[[0, 150, 299], [7, 199, 0]] = True
    cube[bad, 3] = np.nan
    batch = only_cube(tmp_path, cube)
    np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0).numpy(), cube)
    np.testing.assert_array_equal(~batch["valid"][0].numpy(), bad)


def test_a_data_set_travels_to_a_worker_without_its_pixels(tmp_path: Path) -> None:
    write_cubes(tmp_path, 2, shape=(64, 64, 32))
    dataset = Files(tmp_path, (2, 0, 0)).statistics_dataloader().dataset
    expected = dataset[0]
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 10_000
    np.testing.assert_array_equal(pickle.loads(pickled)[0]["cube"], expected["cube"])


def test_a_damaged_cube_is_named(tmp_path: Path) -> None:
    write_cubes(tmp_path, 4)
    cut_short(tmp_path / "c02.npy")
    with pytest.raises(CubeFormatError, match=r'c02\.npy.*on_error="skip"'):
        list(Files(tmp_path, (0, 0, 4)).test_dataloader())


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    class Masked(Files):
        def find_items(self) -> SplitItems:
            mask = partial(mask_in_memory, np.zeros((4, 3), dtype=bool))
            return SplitItems(test=[CubeItem(name="a", path=self.folder / "c00.npy", mask=mask)])

    write_cubes(tmp_path, 1)
    with pytest.raises(CubeFormatError, match=r"`a`: expected a mask of the cube's 3x4.*\(4, 3\)"):
        list(Masked(tmp_path, (0, 0, 1)).test_dataloader())


def test_a_sample_that_is_repeated_has_no_valid_pixel(tmp_path: Path) -> None:
    write_cubes(tmp_path, 1, shape=(4, 3, 5))
    dataset = Files(tmp_path, (1, 0, 0)).statistics_dataloader().dataset
    once, again = dataset[0], dataset[Repeated(0)]
    assert "valid" not in once
    np.testing.assert_array_equal(again["cube"], once["cube"])
    np.testing.assert_array_equal(again["valid"], np.zeros((4, 3), dtype=bool))
