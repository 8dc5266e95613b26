import pytest
import torch

from cuvis_ai.execution.strips import strips
from tests.cubes import random_cubes


@pytest.mark.parametrize("context", [0, 1, 3, 40])
def test_strips_count_each_pixel_once_and_see_the_rows_around(context: int) -> None:
    cube = random_cubes(2, h=11, w=5)
    valid, core = torch.rand(2, 11, 5) < 0.9, torch.rand(2, 11, 5) < 0.8
    counted = torch.zeros(2, 11, 5, dtype=torch.int)
    found = list(strips({"cube": cube, "valid": valid, "core": core, "name": ["a", "b"]}, context, pixels=20))
    assert len(found) == 6
    for number, strip in enumerate(found):
        i, top = divmod(number, 3)
        seen = slice(max(0, 4 * top - context), 4 * top + 4 + context)
        assert torch.equal(strip["cube"], cube[i : i + 1, :, seen])
        assert torch.equal(strip["valid"], valid[i : i + 1, seen])
        counted[i, seen] += strip["core"][0]
    assert torch.equal(counted, core.int())


def test_a_small_batch_stays_whole() -> None:
    batch = {"cube": random_cubes(), "name": ["a", "b"]}
    [same] = strips(batch, 3)
    assert same is batch
