import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from cuvis_ai.data.loading.collate import Sample, collate_cubes
from cuvis_ai.errors import CubeFormatError


def _sample(height: int = 4, width: int = 5, bands: int = 3, *, seed: int = 0, **keys: object) -> Sample:
    cube = np.random.default_rng(seed).normal(size=(height, width, bands)).astype(np.float32)
    return {"cube": cube, **keys}  # type: ignore[typeddict-item]


@given(
    n=st.integers(1, 4),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    bands=st.integers(1, 5),
)
def test_the_pixel_matrix_is_a_view_of_the_batch(n: int, height: int, width: int, bands: int) -> None:
    samples = [_sample(height, width, bands, seed=i) for i in range(n)]
    cube = collate_cubes(samples)["cube"]
    assert cube.shape == (n, bands, height, width)
    assert cube.dtype == torch.float32
    pixels = cube.permute(0, 2, 3, 1).view(-1, bands)  # `view` raises where a copy is needed
    assert pixels.is_contiguous()
    expected = np.concatenate([np.asarray(sample["cube"]).reshape(-1, bands) for sample in samples])
    np.testing.assert_array_equal(pixels.numpy(), expected)


def test_strides_stay_channels_last_for_one_band_and_for_one_cube() -> None:
    assert collate_cubes([_sample(3, 4, 1)])["cube"].permute(0, 2, 3, 1).is_contiguous()
    assert collate_cubes([_sample(1, 1, 7)])["cube"].permute(0, 2, 3, 1).is_contiguous()


def test_optional_keys_arrive_with_their_types() -> None:
    mask = np.zeros((4, 5), dtype=np.uint8)
    mask[1, 2] = 255
    keys = {
        "mask": mask,
        "valid": mask == 0,
        "labels": mask.astype(np.int64),
        "wavelengths": np.array([400.0, 500.0, 600.0]),
        "name": "a",
    }
    batch = collate_cubes([_sample(**keys), _sample(seed=1, **{**keys, "name": "b"})])
    assert batch["mask"].dtype == torch.bool
    assert batch["mask"].nonzero().tolist() == [[0, 1, 2], [1, 1, 2]]
    assert torch.equal(batch["valid"], ~batch["mask"])
    assert batch["labels"].shape == (2, 4, 5)
    assert batch["labels"].dtype == torch.int64
    assert batch["wavelengths"].dtype == torch.float32
    assert batch["wavelengths"].tolist() == [400.0, 500.0, 600.0]
    assert batch["name"] == ["a", "b"]


def test_a_plain_batch_has_the_cube_only() -> None:
    assert collate_cubes([_sample(), _sample(seed=1)]).keys() == {"cube"}


def test_a_sample_without_valid_is_all_valid_beside_one_that_has_it() -> None:
    hole = np.ones((4, 5), dtype=bool)
    hole[0, 0] = False
    valid = collate_cubes([_sample(), _sample(valid=hole)])["valid"]
    assert (~valid).nonzero().tolist() == [[1, 0, 0]]


def test_integers_become_the_same_numbers_as_float32() -> None:
    cube = np.array([[[0, 1], [65535, 7]]], dtype=np.uint16)
    batch = collate_cubes([{"cube": cube}])
    assert batch["cube"].dtype == torch.float32
    np.testing.assert_array_equal(batch["cube"].permute(0, 2, 3, 1).numpy()[0], cube)


def test_padding_adds_invalid_normal_pixels_at_the_bottom_and_right() -> None:
    small, wide = _sample(2, 3, mask=np.ones((2, 3))), _sample(4, 2, seed=1, mask=np.ones((4, 2)))
    batch = collate_cubes([small, wide], pad=True)
    assert batch["cube"].shape == (2, 3, 4, 3)
    for i, sample in enumerate((small, wide)):
        height, width, _ = sample["cube"].shape
        inside = torch.zeros(4, 3, dtype=torch.bool)
        inside[:height, :width] = True
        assert torch.equal(batch["valid"][i], inside)
        assert torch.equal(batch["mask"][i], inside)
        np.testing.assert_array_equal(batch["cube"][i].permute(1, 2, 0)[:height, :width], sample["cube"])
    assert torch.isfinite(batch["cube"]).all()


def test_class_maps_are_padded_with_their_cubes_and_other_labels_stacked() -> None:
    maps = [_sample(2, 3, labels=np.full((2, 3), 9)), _sample(4, 3, seed=1, labels=np.full((4, 3), 9))]
    assert collate_cubes(maps, pad=True)["labels"].sum() == 9 * (6 + 12)
    classes = [_sample(2, 3, labels=np.array(1)), _sample(4, 3, seed=1, labels=np.array(2))]
    assert collate_cubes(classes, pad=True)["labels"].tolist() == [1, 2]


def test_equal_sizes_are_not_padded() -> None:
    assert "valid" not in collate_cubes([_sample(), _sample(seed=1)], pad=True)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "at least one sample"),
        (
            [_sample(4, 5, name="a"), _sample(4, 6, name="b")],
            "`b`: expected 4x5.*got 4x6.*pad=True.*Scene",
        ),
        ([_sample(bands=3, name="a"), _sample(bands=4, name="b")], "`b`: expected 3 bands.*got 4"),
        ([{"cube": np.zeros((4, 5))}], r"\(h, w, c\).*\(4, 5\)"),
        ([_sample(mask=np.zeros((5, 4)))], r"`mask` of shape \(4, 5\).*\(5, 4\)"),
        ([_sample(mask=np.zeros((4, 5))), _sample(name="b")], "`mask` in every sample or in none.*b"),
        (
            [_sample(wavelengths=[1.0, 2.0, 3.0]), _sample(wavelengths=[1.0, 2.0, 4.0], name="b")],
            "`b`: expected the wavelengths",
        ),
        ([_sample(labels=np.zeros(2)), _sample(labels=np.zeros(3))], "`labels` of one shape"),
    ],
)
def test_samples_that_do_not_fit_together_are_refused(samples: list[Sample], message: str) -> None:
    with pytest.raises(CubeFormatError, match=message):
        collate_cubes(samples)


@pytest.mark.parametrize("sizes", [(2, 2), (2, 3)])
def test_a_batch_stays_on_the_device_of_its_samples(sizes: tuple[int, int]) -> None:
    samples: list[Sample] = [{"cube": torch.empty(size, 3, 4, device="meta")} for size in sizes]
    batch = collate_cubes(samples, pad=True)
    assert batch["cube"].device.type == "meta"
    assert batch["cube"].shape == (2, 4, max(sizes), 3)


def test_labels_of_any_dtype_are_stacked() -> None:
    samples: list[Sample] = [
        {"cube": np.ones((2, 3, 4)), "labels": torch.full((2, 3), value, dtype=torch.bfloat16)}
        for value in (1, 2)
    ]
    labels = collate_cubes(samples)["labels"]
    assert labels.dtype == torch.bfloat16
    assert labels[:, 0, 0].tolist() == [1, 2]


def test_core_is_true_where_a_sample_has_none_and_false_where_it_is_padded() -> None:
    core = np.zeros((4, 5), dtype=bool)
    core[1:, 2:] = True
    batch = collate_cubes([_sample(4, 5, core=core), _sample(3, 6)], pad=True)
    assert batch["core"].dtype == torch.bool
    assert torch.equal(batch["core"][0, :, :5], torch.from_numpy(core))
    assert not batch["core"][0, :, 5:].any()
    assert batch["core"][1, :3].all()
    assert not batch["core"][1, 3:].any()
    assert "core" not in collate_cubes([_sample()])
