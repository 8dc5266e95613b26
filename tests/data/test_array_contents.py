from typing import Any

import numpy as np
import pytest

from cuvis_ai.data.cube_batch import read_batch
from cuvis_ai.errors import CubeFormatError

COUNTS = np.random.default_rng(0).integers(1, 4000, (6, 7, 5)).astype("i2")
COUNTS[1, 2:4, 3] = -9
VALID = COUNTS[:, :, 3] != -9
NM = [450.0, 550.0, 650.0, 750.0, 850.0]


@pytest.fixture
def data_array() -> type[Any]:
    kind: type[Any] = pytest.importorskip("xarray").DataArray
    return kind


@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "f8", ">i2"])
def test_an_array_is_rows_columns_bands(dtype: str) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    batch = read_batch(values)
    np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0), values)
    assert batch["cube"].dtype.is_floating_point
    assert "valid" not in batch
    read_batch(values, axes="chw")["cube"].mul_(0)
    assert values.any()


def test_masked_and_non_finite_values_are_no_data() -> None:
    decoded = np.where(COUNTS == -9, np.nan, COUNTS)
    for values in (np.ma.masked_equal(COUNTS, -9), decoded):
        np.testing.assert_array_equal(read_batch(values)["valid"][0], VALID)
    np.testing.assert_array_equal(read_batch(COUNTS, no_data=-9)["valid"][0], VALID)


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4, 5), (0, 3, 4)])
def test_an_array_of_other_axes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(CubeFormatError, match=r"array: expected .*\(h, w, c\)"):
        read_batch(np.ones(shape))


@pytest.mark.parametrize("dims", [("y", "x", "band"), ("band", "y", "x"), ("x", "wavelength", "y")])
def test_dimensions_say_which_axis_holds_the_bands(data_array: type[Any], dims: tuple[str, ...]) -> None:
    order = ["yxbw".replace("w", "").index(name[0].replace("w", "b")) for name in dims]
    batch = read_batch(data_array(COUNTS.transpose(order), dims=dims))
    np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0), COUNTS)


@pytest.mark.parametrize(
    ("coordinate", "expected"),
    [
        (NM, NM),
        ([0.4501, 0.55, 0.65, 0.75, 0.85], [450.1, 550, 650, 750, 850]),
        ([1, 2, 3, 4, 5], None),
        ([1.0, 2.0, 4.0, 5.0, 180.0], None),
        (["a", "b", "c", "d", "e"], None),
        (("band", [0.45, 0.55, 0.65, 0.75, 0.85], {"units": "um"}), NM),
        (("band", [8, 9, 10, 11, 12], {"units": "um"}), [8000, 9000, 10000, 11000, 12000]),
    ],
)
@pytest.mark.filterwarnings("ignore:.*the wavelengths' unit is undeclared")
def test_the_bands_coordinate_holds_wavelengths_unless_it_counts_them(
    data_array: type[Any], coordinate: Any, expected: list[float] | None
) -> None:
    batch = read_batch(data_array(COUNTS, dims=("y", "x", "band"), coords={"band": coordinate}))
    if expected is None:
        assert "wavelengths" not in batch
    else:
        np.testing.assert_allclose(batch["wavelengths"], expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["_FillValue", "missing_value", "nodata"])
def test_the_fill_value_is_no_data_wherever_it_stands(data_array: type[Any], name: str) -> None:
    array = data_array(COUNTS, dims=("y", "x", "band"), attrs={name: -9})
    np.testing.assert_array_equal(read_batch(array)["valid"][0], VALID)
    if name != "nodata":
        array = data_array(COUNTS, dims=("y", "x", "band"))
        array.encoding[name] = np.int16(-9)
        np.testing.assert_array_equal(read_batch(array)["valid"][0], VALID)


def test_limits_of_packed_numbers_hold_for_unpacked_values(data_array: type[Any]) -> None:
    """Unpacked by scale 0.5 and offset 10, the fill value is NaN, and the limit 3000 stands for 1510."""
    values = np.where(COUNTS == -9, np.nan, COUNTS * 0.5 + 10)
    array = data_array(values, dims=("y", "x", "band"), attrs={"valid_max": np.int16(3000)})
    array.encoding.update(scale_factor=0.5, add_offset=10.0, _FillValue=np.int16(3000))
    np.testing.assert_array_equal(read_batch(array)["valid"][0], VALID & (COUNTS <= 3000).all(2))


def test_flags_of_good_bands_are_a_coordinate(data_array: type[Any]) -> None:
    coords = {
        "wavelength": ("band", NM, {"units": "nm"}),
        "good_band": ("band", [True, True, False, True, True]),
    }
    batch = read_batch(data_array(COUNTS, dims=("y", "x", "band"), coords=coords, name="scene"))
    assert batch["wavelengths"].tolist() == [450, 550, 750, 850]
    assert batch["name"] == ["scene"]
