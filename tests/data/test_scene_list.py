"""All pixels of scenes are served once, in strips of bounded size."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cuvis_ai.data import scene_list
from cuvis_ai.data.scene_list import SceneList
from cuvis_ai.errors import ConfigError


def test_every_pixel_is_served_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cubes = [np.random.default_rng(i).random((h, 5, 3)).astype("f4") for i, h in enumerate((7, 4))]
    for i, cube in enumerate(cubes):
        np.save(tmp_path / f"s{i}.npy", cube)
    monkeypatch.setattr(scene_list, "STRIP_MB", 3 * 5 * 3 * 4e-6)  # three rows

    module = SceneList([tmp_path / "s0.npy", tmp_path / "s1.npy"])

    module.setup("fit")
    batches = [batch["cube"] for batch in module.statistics_dataloader()]
    assert max(batch.shape[2] for batch in batches) <= 3
    served = torch.cat([batch.permute(0, 2, 3, 1).reshape(-1, 3) for batch in batches])
    expected = np.concatenate([cube.reshape(-1, 3) for cube in cubes])
    assert sorted(map(tuple, served.tolist())) == sorted(map(tuple, expected.tolist()))
    assert module.val_dataloader() == []


def test_no_scene_is_an_error() -> None:
    with pytest.raises(ConfigError, match="at least one scene"):
        SceneList([])
