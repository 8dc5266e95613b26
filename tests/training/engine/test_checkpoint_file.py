"""Checkpoint files: damage is noticed, and nothing is removed but a run's own files in its own folder."""

import io
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from cuvis_ai.errors import ConfigError
from cuvis_ai.training.engine.checkpoint_file import (
    WholeFiles,
    forget_foreign_paths,
    lies_below,
    read_checkpoint,
)
from tests.training.engine.test_trainer import Power, data, pca_graph, settings

pytestmark = pytest.mark.filterwarnings(
    "ignore:The dirpath has changed",
    "ignore:Checkpoint directory",
    "ignore:Sparse invariant checks",  # torch's, on making the tensors that are refused
)


def train(*callbacks: ModelCheckpoint, epochs: int = 1, ckpt_path: Path | None = None) -> None:
    graph, _ = pca_graph(Power())
    graph.train(data(), settings(epochs, callbacks=list(callbacks)), ckpt_path=ckpt_path)


def keeper(folder: str | Path, **options: Any) -> ModelCheckpoint:
    return ModelCheckpoint(folder, **{"filename": "{epoch}", **options})


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# What is removed.


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder that belongs to no run."""
    folder = tmp_path / "precious.ckpt"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    (tmp_path / "other.ckpt").write_text("of another run")
    return folder


def forged(folder: Path, to: Path, **states: Any) -> Path:
    """Return the checkpoint of a first epoch, with other paths in the state of its callback."""
    checkpoint = torch.load(folder / "epoch=0.ckpt", weights_only=True)
    for state in checkpoint["callbacks"].values():
        state.update(states)
    torch.save(checkpoint, to)
    return to


WAYS: list[tuple[str, Callable[[Path], str]]] = [
    ("beside it by dots", lambda p: f"{p}/kept/../precious.ckpt"),
    ("of a file beside it by dots", lambda p: f"{p}/kept/../other.ckpt"),
    ("as it is", lambda p: f"{p}/precious.ckpt"),
    ("of another file system's name", lambda p: f"local://{p}/precious.ckpt"),
    ("of a file's address", lambda p: f"file://{p}/precious.ckpt"),
    ("of a chain of file systems", lambda p: f"simplecache::local://{p}/precious.ckpt"),
    ("through a link", lambda p: f"{p}/kept/link/other.ckpt"),
    ("of a folder inside", lambda p: f"{p}/kept/inside.ckpt"),
    ("of a file of another kind inside", lambda p: f"{p}/kept/notes.txt"),
    ("with a null character", lambda p: f"{p}/kept/\x00.ckpt"),
    ("of any length", lambda p: f"{p}/kept/{'x' * 5000}.ckpt"),
]


def laid_out(tmp_path: Path) -> Path:
    kept = tmp_path / "kept"
    (kept / "inside.ckpt").mkdir(parents=True)
    (kept / "inside.ckpt" / "thesis.txt").write_text("years of work")
    (kept / "notes.txt").write_text("")
    (kept / "link").symlink_to(tmp_path)
    return kept


@pytest.mark.parametrize("way", [row[1] for row in WAYS], ids=[row[0] for row in WAYS])
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("dirpath", [None, "/elsewhere"])
def test_paths_of_a_checkpoint_outside_of_the_callbacks_folder_are_dropped(
    way: Callable[[Path], str],
    mode: str,
    dirpath: str | None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of those that are its own, the best and the worst are found again."""
    kept = laid_out(tmp_path)
    own = {f"{kept}/a.ckpt": torch.tensor(1.0), f"{kept}/b/c.ckpt": torch.tensor(2.0)}
    callback, foreign = keeper(kept, monitor="x", mode=mode, save_top_k=3), way(tmp_path)
    state = callback.state_dict() | {
        name: foreign for name in ("best_model_path", "kth_best_model_path", "last_model_path")
    }
    callback.load_state_dict(
        state | {"dirpath": dirpath or str(kept), "best_k_models": {foreign: torch.tensor(0.0), **own}}
    )
    with caplog.at_level(logging.INFO, "cuvis_ai"):
        forget_foreign_paths(callback)
    assert callback.last_model_path == ""
    assert f"outside of {kept}, which are left alone" in caplog.text
    if dirpath is None:
        best, worst = list(own)[:: 1 if mode == "min" else -1]
        assert callback.best_k_models == own
        assert (callback.best_model_path, callback.best_model_score) == (best, own[best])
        assert callback.kth_best_model_path == worst
    else:  # of a folder that was moved, Lightning takes the best alone
        assert (callback.best_model_path, callback.best_k_models) == ("", {})


@pytest.mark.parametrize("monitor", [None, "val/loss/total"])
@pytest.mark.parametrize("way", [WAYS[0][1], WAYS[3][1]], ids=[WAYS[0][0], WAYS[3][0]])
def test_a_run_from_an_untrusted_checkpoint_removes_nothing(
    way: Callable[[Path], str], monitor: str | None, tmp_path: Path, precious: Path
) -> None:
    kept = tmp_path / "kept"
    train(keeper(kept, monitor=monitor))
    path = way(tmp_path)
    state: dict[str, Any] = {"best_model_path": path, "kth_best_model_path": path, "last_model_path": path}
    untrusted = forged(kept, tmp_path / "untrusted.ckpt", **state, best_k_models={path: torch.tensor(9.0)})
    train(keeper(kept, monitor=monitor, save_last=True), epochs=3, ckpt_path=untrusted)
    assert files(precious) == ["thesis.txt"]
    assert (tmp_path / "other.ckpt").exists()
    assert "epoch=2.ckpt" in files(kept)


@pytest.mark.parametrize("best", [[1], {"a.ckpt": 1.0}, {"a.ckpt": torch.zeros(2)}])
def test_best_models_of_another_form_are_refused(best: object, tmp_path: Path) -> None:
    callback = keeper(tmp_path, monitor="x")
    callback.load_state_dict({**callback.state_dict(), "best_model_score": None, "best_k_models": best})
    with pytest.raises(ConfigError, match="best_k_models"):
        forget_foreign_paths(callback)


def test_nothing_but_files_of_the_callbacks_is_ever_removed(tmp_path: Path, precious: Path) -> None:
    """Whatever asks for it."""
    kept = laid_out(tmp_path)
    before, whole = files(tmp_path), WholeFiles([keeper(kept)])
    for _, way in WAYS:
        whole.remove_checkpoint(way(tmp_path))
    assert files(tmp_path) == before
    for name in ("a.ckpt", "b=1/c.ckpt"):
        (kept / name).parent.mkdir(exist_ok=True)
        (kept / name).write_text("")
        whole.remove_checkpoint(kept / name)
        whole.remove_checkpoint(kept / name)  # gone already
    assert files(tmp_path) == before


def test_a_run_goes_on_removing_its_own(tmp_path: Path) -> None:
    """Two callbacks with a folder each, the other's inside; file names with a slash; the best of two."""

    def callbacks() -> list[ModelCheckpoint]:
        return [
            keeper(tmp_path / "a", filename="{epoch}", save_top_k=1, monitor="train/loss/total"),
            keeper(tmp_path / "a" / "b", filename="{epoch}/{val/loss/total:.3f}", save_top_k=2, monitor="val/loss/total", save_last=True),
        ]  # fmt: skip

    train(*callbacks(), epochs=2)
    assert len(files(tmp_path / "a" / "b")) == 2 + 2  # the best two, and the last twice
    train(*callbacks(), epochs=4, ckpt_path=tmp_path / "a" / "b" / "last.ckpt")
    whole = tmp_path / "whole"
    alone = [ModelCheckpoint(whole / path.relative_to(tmp_path), filename=one.filename, save_top_k=one.save_top_k, monitor=one.monitor, save_last=one.save_last) for one in callbacks() if (path := Path(str(one.dirpath)))]  # fmt: skip
    train(*alone, epochs=4)
    assert [name for name in files(tmp_path / "a")] == files(whole / "a")


def test_a_folder_that_was_moved_goes_on_without_its_paths(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(keeper(tmp_path / "old", monitor="val/loss/total"))
    (tmp_path / "old").rename(tmp_path / "new")
    with caplog.at_level(logging.INFO, "cuvis_ai"):
        train(
            keeper(tmp_path / "new", monitor="val/loss/total"),
            epochs=2,
            ckpt_path=tmp_path / "new" / "epoch=0.ckpt",
        )
    assert f"outside of {tmp_path / 'new'}, which are left alone: '{tmp_path / 'old'}" in caplog.text
    assert files(tmp_path / "new") == ["epoch=0.ckpt", "epoch=1.ckpt"]


def test_a_bucket_stays_possible() -> None:
    system = fsspec.filesystem("memory")
    system.makedirs("/bucket-of-another", exist_ok=True)
    system.pipe("/bucket-of-another/a.ckpt", b"x")
    whole = WholeFiles([keeper("memory://bucket")])
    train(keeper("memory://bucket"), epochs=3)
    assert [Path(name).name for name in system.ls("/bucket", detail=False)] == ["epoch=2.ckpt"]
    for path in ("memory://bucket-of-another/a.ckpt", "memory://bucket/../bucket-of-another/a.ckpt"):
        whole.remove_checkpoint(path)
    assert system.exists("/bucket-of-another/a.ckpt")


@pytest.mark.parametrize(
    "path", [5, None, b"/kept/a.ckpt", "", "a.ckpt", "/kept", "/kept/.ckpt/../../a.ckpt"]
)
def test_what_lies_below_a_folder(path: object) -> None:
    assert not lies_below(path, "/kept")
    assert not lies_below("/kept/a.ckpt", None)
    assert lies_below("/kept/a/../b/c.ckpt", "/kept")


# What is noticed.


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("sound")
    train(keeper(folder))
    return (folder / "epoch=0.ckpt").read_bytes()


def test_any_flipped_bit_of_any_member_is_noticed(sound: bytes, tmp_path: Path) -> None:
    path, content = tmp_path / "epoch=0.ckpt", sound
    path.write_bytes(content)
    assert read_checkpoint(path)["epoch"] == 0
    with zipfile.ZipFile(path) as file:
        infos = [info for info in file.infolist() if info.file_size]
    for i, info in enumerate(infos):
        header = int.from_bytes(content[info.header_offset + 26 :][:2], "little")
        extra = int.from_bytes(content[info.header_offset + 28 :][:2], "little")
        at = info.header_offset + 30 + header + extra + i % info.file_size
        broken = bytearray(content)
        broken[at] ^= 1 << i % 8
        path.write_bytes(broken)
        with pytest.raises(
            ConfigError, match=rf"epoch=0\.ckpt', which is damaged: the checksum of '{info.filename}"
        ):
            read_checkpoint(path)


def stored_otherwise(content: bytes, to: Path, method: int, more: int = 0) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(to, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        for i in range(more):
            new.writestr(f"archive/{i}", b"")


def test_a_zip_bomb_is_refused_unopened(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bomb.ckpt"
    stored_otherwise(sound, path, zipfile.ZIP_STORED)
    assert read_checkpoint(path)["epoch"] == 0
    stored_otherwise(sound, path, zipfile.ZIP_DEFLATED)
    with pytest.raises(ConfigError, match="a member is compressed"):
        read_checkpoint(path)
    stored_otherwise(sound, path, zipfile.ZIP_STORED, more=20_001)
    with pytest.raises(ConfigError, match="more than 20000 members"):
        read_checkpoint(path)


def nested(depth: int) -> list[Any]:
    tree: list[Any] = []
    for _ in range(depth):
        tree = [tree]
    return tree


HOSTILE: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("a sparse tensor", lambda c: c["state_dict"].update(x=torch.sparse_coo_tensor(size=(3, 3))), "as large as it says"),
    ("one elsewhere", lambda c: c["optimizer_states"].append(torch.sparse_coo_tensor(size=(3, 3))), "as large as it says"),
    ("a tensor of no device", lambda c: c.update(more=torch.zeros(10**12, device="meta")), "as large as it says"),
    ("a tensor of few bytes", lambda c: c["callbacks"].update(x=torch.zeros(1).expand(10**9)), "as large as it says"),
    ("a circle", lambda c: c.update(more=c), "at most 100 containers"),
    ("depth", lambda c: c.update(more=nested(200)), "at most 100 containers"),
    ("no version", lambda c: c.pop("pytorch-lightning_version"), "pytorch-lightning_version"),
    ("a version that is none", lambda c: c.update({"pytorch-lightning_version": "x"}), "pytorch-lightning_version"),
    ("a tensor as version", lambda c: c.update({"pytorch-lightning_version": torch.zeros(1).expand(10**7, 10**7)}), "as large as it says"),
    # Lightning would make `best_model_path` of it, past what is looked at.
    ("an old version", lambda c: c.update({"pytorch-lightning_version": "0.9.0", "checkpoint_callback_best_model_path": "x"}), "2.6 or newer, got 0.9.0"),
    ("no schedulers", lambda c: c.pop("lr_schedulers"), "lr_schedulers"),
    ("a name that is none", lambda c: c["state_dict"].update({5: torch.zeros(1)}), "expected a tensor"),
    ("loops of another form", lambda c: c.update(loops=[]), "which is changed"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_hostile_contents_are_refused(
    change: Callable[[dict[str, Any]], object], message: str, sound: bytes, tmp_path: Path
) -> None:
    checkpoint = torch.load(io.BytesIO(sound), weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, tmp_path / "hostile.ckpt")
    with pytest.raises(ConfigError, match=message) as caught:
        read_checkpoint(tmp_path / "hostile.ckpt")
    assert len(str(caught.value)) < 1000
