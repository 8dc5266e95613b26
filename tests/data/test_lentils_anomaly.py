import json
import logging
import sys
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from cuvis_ai.data.lentils_anomaly import LentilsAnomaly
from cuvis_ai.errors import ConfigError, DatasetNotFoundError, MissingExtraError
from tests.lentils import Lentils, write_lentils

pytest.importorskip("pycocotools", reason="needs pycocotools for COCO annotations")


@pytest.fixture(scope="module")
def lentils(tmp_path_factory: pytest.TempPathFactory) -> Lentils:
    return write_lentils(tmp_path_factory.mktemp("lentils"))


def _split_names(datamodule: LentilsAnomaly) -> list[list[str]]:
    loaders = (datamodule.statistics_dataloader(), datamodule.val_dataloader(), datamodule.test_dataloader())
    return [list(chain(*(batch["name"] for batch in loader))) for loader in loaders]


def _numbers(datamodule: LentilsAnomaly) -> list[list[int]]:
    return [[int(name[-3:]) for name in names] for names in _split_names(datamodule)]


@pytest.mark.parametrize("suffix", [".hdr", ".npy"])
def test_batches_hold_the_cubes_and_masks_that_were_written(tmp_path: Path, suffix: str) -> None:
    written = write_lentils(tmp_path, n_cubes=4, suffix=suffix)
    datamodule = LentilsAnomaly(tmp_path, batch_size=3)
    for batch in datamodule.predict_dataloader():
        for i, name in enumerate(batch["name"]):
            number = written.names.index(name)
            np.testing.assert_array_equal(batch["cube"][i].permute(1, 2, 0), written.cubes[number])
            np.testing.assert_array_equal(batch["mask"][i], written.masks[number])
        if suffix == ".hdr":
            np.testing.assert_allclose(batch["wavelengths"], written.wavelengths, rtol=1e-6)
    if suffix == ".hdr":
        assert datamodule.wavelengths is not None
        np.testing.assert_allclose(datamodule.wavelengths, written.wavelengths)
    else:
        assert datamodule.wavelengths is None
    assert datamodule.band_indices == list(range(61))


def test_annotations_reach_worker_processes(lentils: Lentils) -> None:
    datamodule = LentilsAnomaly(lentils.folder, batch_size=12, num_workers=1)
    (batch,) = datamodule.predict_dataloader()
    np.testing.assert_array_equal(batch["mask"], lentils.masks)


def test_the_tutorials_calls_work_without_a_trainer(lentils: Lentils) -> None:
    datamodule = LentilsAnomaly(data_dir=str(lentils.folder), batch_size=4, num_workers=0)
    datamodule.setup("test")
    batch = next(iter(datamodule.test_dataloader()))
    assert batch["cube"].shape[1] == 61


@pytest.mark.parametrize(
    ("n_cubes", "sizes"), [(1, [1, 0, 0]), (2, [1, 1, 0]), (3, [1, 1, 1]), (4, [2, 1, 1]), (10, [6, 2, 2])]
)
def test_without_ids_the_cubes_are_divided_in_order_and_a_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, n_cubes: int, sizes: list[int]
) -> None:
    write_lentils(tmp_path, n_cubes=n_cubes, height=8, width=8, bands=3)
    datamodule = LentilsAnomaly(tmp_path)
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        splits = _numbers(datamodule)
    assert [len(split) for split in splits] == sizes
    assert list(chain(*splits)) == list(range(n_cubes))
    assert f"the first {sizes[0]} of {n_cubes} cubes" in caplog.text


def test_ids_are_image_ids_or_names(lentils: Lentils) -> None:
    datamodule = LentilsAnomaly(lentils.folder, train_ids=[4, "lentils_001"], test_ids=[11])
    assert _numbers(datamodule) == [[4, 1], [], [11]]
    assert datamodule.val_dataloader() == []


def test_a_split_file_is_used_unless_ids_are_given(tmp_path: Path) -> None:
    write_lentils(tmp_path, n_cubes=4, height=8, width=8, bands=3)
    (tmp_path / "splits.json").write_text('{"train": ["lentils_003", 0], "test": [2]}')
    assert _numbers(LentilsAnomaly(tmp_path)) == [[3, 0], [], [2]]
    assert _numbers(LentilsAnomaly(tmp_path, val_ids=[1])) == [[], [1], []]


def test_normal_categories_are_no_anomalies(tmp_path: Path) -> None:
    write_lentils(tmp_path, n_cubes=2)
    coco = json.loads((tmp_path / "annotations.json").read_text())
    coco["categories"].append({"id": 2, "name": "lentil"})
    box = {"segmentation": [[0, 0, 40, 0, 40, 32, 0, 32]], "bbox": [0, 0, 40, 32], "area": 1280, "iscrowd": 0}
    coco["annotations"].append({"id": 99, "image_id": 0, "category_id": 2, **box})
    (tmp_path / "annotations.json").write_text(json.dumps(coco))
    everything = LentilsAnomaly(tmp_path, train_ids=[0])
    stones = LentilsAnomaly(tmp_path, train_ids=[0], normal_categories=["lentil"])
    assert next(iter(everything.train_dataloader()))["mask"].all()
    assert not next(iter(stones.train_dataloader()))["mask"].all()


def test_a_cube_that_is_not_annotated_counts_as_normal_among_annotated_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_lentils(tmp_path, n_cubes=3)
    coco = json.loads((tmp_path / "annotations.json").read_text())
    coco["images"] = [image for image in coco["images"] if image["id"] != 1]
    coco["annotations"] = [entry for entry in coco["annotations"] if entry["image_id"] != 1]
    (tmp_path / "annotations.json").write_text(json.dumps(coco))
    mixed = LentilsAnomaly(tmp_path, train_ids=["lentils_000", "lentils_001"], test_ids=["lentils_001"][:0])
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        (batch,) = mixed.statistics_dataloader()
    assert batch["mask"].flatten(1).any(1).tolist() == [True, False]
    assert "1 of 2 cubes have no annotation and count as free of anomalies: [lentils_001]" in caplog.text
    alone = LentilsAnomaly(tmp_path, train_ids=["lentils_001"])
    assert "mask" not in next(iter(alone.train_dataloader()))


def test_a_folder_without_annotations_has_no_masks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_lentils(tmp_path, n_cubes=3)
    (tmp_path / "annotations.json").unlink()
    datamodule = LentilsAnomaly(tmp_path, train_ids=[0, 1], test_ids=[2])
    assert "mask" not in next(iter(datamodule.train_dataloader()))
    assert "batches have no mask" in caplog.text


def test_two_annotation_files_need_a_choice(tmp_path: Path) -> None:
    write_lentils(tmp_path, n_cubes=2)
    (tmp_path / "older.json").write_bytes((tmp_path / "annotations.json").read_bytes())
    with pytest.raises(ConfigError, match=r"\['annotations\.json', 'older\.json'\].*`annotations`"):
        LentilsAnomaly(tmp_path).setup()
    LentilsAnomaly(tmp_path, annotations="older.json").setup()
    with pytest.raises(DatasetNotFoundError, match=r"`annotations`.*gone\.json"):
        LentilsAnomaly(tmp_path, annotations="gone.json").setup()


def test_cubes_converted_from_a_session_keep_its_annotations(tmp_path: Path) -> None:
    written = write_lentils(tmp_path, n_cubes=3, suffix=".npy")
    for i, name in enumerate(written.names):
        (tmp_path / f"{name}.npy").rename(tmp_path / f"Lentils_000_{i:04d}.npy")
    (tmp_path / "annotations.json").rename(tmp_path / "Lentils_000.json")
    (batch,) = LentilsAnomaly(tmp_path, batch_size=3).predict_dataloader()
    np.testing.assert_array_equal(batch["mask"], written.masks)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch, lentils: Lentils) -> None:
    """A fake of the vendor's package: every session holds the written cubes as its measurements."""

    class SessionFile:
        def __init__(self, path: str) -> None:
            assert Path(path).is_file()

        def __len__(self) -> int:
            return len(lentils.cubes)

        def get_measurement(self, number: int) -> Any:
            wavelengths = lentils.wavelengths.round().astype(int).tolist()
            return SimpleNamespace(
                data={"cube": SimpleNamespace(array=lentils.cubes[number], wavelength=wavelengths)}
            )

    monkeypatch.setitem(sys.modules, "cuvis", SimpleNamespace(SessionFile=SessionFile))


@pytest.mark.usefixtures("sessions")
def test_a_session_serves_its_frames(tmp_path: Path, lentils: Lentils) -> None:
    (tmp_path / "Lentils_000.cu3s").write_bytes(b"session")
    (tmp_path / "Lentils_000.json").write_bytes((lentils.folder / "annotations.json").read_bytes())
    datamodule = LentilsAnomaly(tmp_path, batch_size=2, train_ids=[7, 3], test_ids=["Lentils_000_0000"])
    (batch,) = datamodule.statistics_dataloader()
    assert batch["name"] == ["Lentils_000_0007", "Lentils_000_0003"]
    np.testing.assert_array_equal(batch["cube"].permute(0, 2, 3, 1), lentils.cubes[[7, 3]])
    np.testing.assert_array_equal(batch["mask"], lentils.masks[[7, 3]])
    (batch,) = datamodule.test_dataloader()
    np.testing.assert_array_equal(batch["mask"], lentils.masks[[0]])


@pytest.mark.usefixtures("sessions")
def test_frames_of_several_sessions_go_by_name(tmp_path: Path, lentils: Lentils) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.cu3s").write_bytes(b"session")
    (tmp_path / "b.json").write_bytes((lentils.folder / "annotations.json").read_bytes())
    datamodule = LentilsAnomaly(tmp_path, train_ids=["a_0001"], test_ids=["b_0001"])
    assert "mask" not in next(iter(datamodule.train_dataloader()))
    np.testing.assert_array_equal(next(iter(datamodule.test_dataloader()))["mask"][0], lentils.masks[1])
    with pytest.raises(ConfigError, match=r"`train_ids` has \[1\]"):
        LentilsAnomaly(tmp_path, train_ids=[1]).setup()


def test_a_missing_folder_says_where_it_looked_and_the_ways_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    datamodule = LentilsAnomaly("data/Lentils")  # constructing looks at nothing
    with pytest.raises(DatasetNotFoundError) as caught:
        datamodule.setup("fit")
    for part in (str(tmp_path / "data/Lentils"), "data_dir", "DATA_ROOT", "download=True", "IndianPines"):
        assert part in str(caught.value)
    (tmp_path / "data/Lentils").mkdir(parents=True)
    with pytest.raises(DatasetNotFoundError, match="expected cubes in .*got none.*download=True"):
        datamodule.setup("fit")


def test_the_folder_comes_from_the_environment_when_not_given(
    lentils: Lentils, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_ROOT", str(lentils.folder))
    assert len(_split_names(LentilsAnomaly())[0]) == 8
    assert LentilsAnomaly("elsewhere").data_dir == Path("elsewhere")


def _fake_hub(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def snapshot_download(**arguments: Any) -> None:
        calls.append(arguments)
        write_lentils(Path(arguments["local_dir"]), n_cubes=3, height=8, width=8, bands=3)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    return calls


def test_download_happens_when_asked_for_and_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _fake_hub(monkeypatch)
    LentilsAnomaly(tmp_path / "a").prepare_data()
    assert calls == []
    datamodule = LentilsAnomaly(tmp_path / "a", download=True)
    assert calls == []
    for _ in range(2):
        datamodule.prepare_data()
    assert [call["repo_id"] for call in calls] == ["cubert-gmbh/XMR_Lentils"]
    assert calls[0]["repo_type"] == "dataset"
    datamodule.setup("fit")


def test_download_without_the_hubs_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"cubes-to-maps\[download\]"):
        LentilsAnomaly(tmp_path, download=True).prepare_data()


def test_hydra_builds_it_from_flat_arguments(lentils: Lentils) -> None:
    config = OmegaConf.create(
        {
            "_target_": "cuvis_ai.data.lentils_anomaly.LentilsAnomaly",
            "data_dir": str(lentils.folder),
            "batch_size": 2,
            "train_ids": [0, 1],
            "test_ids": ["lentils_005"],
            "bad_bands": [0, 60],
            "normal_categories": [],
        }
    )
    datamodule = instantiate(config)
    assert _numbers(datamodule) == [[0, 1], [], [5]]
    assert datamodule.band_indices == list(range(1, 60))


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="batchsize"):
        LentilsAnomaly(batchsize=3)  # type: ignore[call-arg]
