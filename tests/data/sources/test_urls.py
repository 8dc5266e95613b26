"""Cubes by URL, from a server on the loopback address; and where only a path will do."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import zarr

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.masks import read_mask
from cuvis_ai.data.sources.urls import url_of
from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError
from cuvis_ai.pipeline.prediction.scene_files import find_scenes

VALUES = np.random.default_rng(0).normal(size=(6, 5, 4)).astype("f4")


class Served(SimpleHTTPRequestHandler):
    """Serves a folder and notes what was asked for."""

    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:
        self.asked.append(self.path)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of a server of a folder that holds a store, `scene.zarr`, in chunks of 2 rows."""
    array = zarr.create_array(tmp_path / "scene.zarr", shape=VALUES.shape, chunks=(2, 5, 4), dtype="f4")
    array[:] = VALUES
    array.attrs["wavelength"] = [450.0, 550.0, 650.0, 750.0]
    array.attrs["wavelength_units"] = "nm"
    monkeypatch.setattr(Served, "asked", [], raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Served, directory=str(tmp_path))) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def test_a_zarr_store_is_read_by_url_block_by_block(server: str) -> None:
    cube = read_cube(f"{server}/scene.zarr")
    assert cube.shape == VALUES.shape
    assert np.array_equal(cube.wavelengths, [450, 550, 650, 750])
    Served.asked.clear()
    assert np.array_equal(cube.values[3:4], VALUES[3:4])
    assert [path for path in Served.asked if "/c/" in path] == ["/scene.zarr/c/1/0/0"]
    assert np.array_equal(cube.values[:], VALUES)


def test_a_store_that_is_not_there_names_the_url(server: str) -> None:
    with pytest.raises(
        DatasetNotFoundError, match=rf"^{server}/missing\.zarr: expected a zarr store.*Correct the URL"
    ):
        read_cube(f"{server}/missing.zarr")


@pytest.mark.parametrize("name", ["scene.tif", "scene.hdr", "scene", "scene.npy?download=1"])
def test_other_formats_say_that_they_are_read_locally(name: str) -> None:
    with pytest.raises(CubeFormatError, match=r"^https://x\.invalid/scene.* ends in \.zarr.* Copy the file"):
        read_cube(f"https://x.invalid/{name}")


def test_masks_and_scenes_of_commands_say_that_they_are_local() -> None:
    with pytest.raises(CubeFormatError, match=r"^s3://b/a\.npy: expected a mask as a local path"):
        read_mask("s3://b/a.npy", (2, 2))
    with pytest.raises(CubeFormatError, match=r"^s3://b/a\.zarr: expected a scene as a local path"):
        find_scenes(["scene.hdr", "s3://b/a.zarr"])


@pytest.mark.parametrize(
    ("path", "is_url"),
    [
        ("https://a/b.zarr", True), ("s3://a/b", True), ("simplecache::https://a/b.zarr", True),
        ("a/b.zarr", False), ("C:\\a", False), ("a://", False), (Path("https://a/b.zarr"), False),
    ],
)  # fmt: skip
def test_what_is_a_url(path: str | Path, is_url: bool) -> None:
    """A `Path` never is: those that files and folders name are such."""
    assert (url_of(path) is not None) is is_url
