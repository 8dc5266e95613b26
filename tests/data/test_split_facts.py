"""What is said of a split's files and pixels."""

from pathlib import Path

import numpy as np

from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.data.indian_pines import IndianPines


def test_tiles_of_one_file_count_their_own_pixels_and_the_file_once() -> None:
    facts = IndianPines().facts()
    assert [facts[f"{split} anomalies"] for split in ("train", "val", "test")] == [53, 20, 20]
    assert sum(int(facts[f"{split} pixels"]) for split in ("train", "val", "test")) == 145 * 145
    assert facts["train share of anomalies"] == 53 / int(facts["train pixels"])
    assert str(facts["files"]).count(",") == 0


def test_unlabelled_and_many_files(tmp_path: Path) -> None:
    for i in range(25):
        np.save(tmp_path / f"{i:02d}.npy", np.ones((2, 3, 4), dtype=np.float32))
    facts = CubeFolder(tmp_path).facts()
    assert facts["train pixels"] == 15 * 2 * 3
    assert not [name for name in facts if "anomalies" in name], "without masks nothing is known"
    assert str(facts["files"]).endswith("19.npy and 5 more")
