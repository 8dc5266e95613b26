"""The fuzzer of input files, in its short form."""

from pathlib import Path

import pytest

from fuzz.file_format import Reading
from fuzz.inputs import FORMATS, fuzzed, reading_of
from fuzz.measuring import Outcome

pytest.importorskip("pycocotools", reason="needs pycocotools for COCO annotations")
pytest.importorskip("h5py", reason="needs h5py for HDF5")
pytest.importorskip("rasterio", reason="needs rasterio for TIFF")
pytest.importorskip("zarr", reason="needs zarr for zarr stores")

N = 40


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """Of all formats, in one child process."""
    folder = tmp_path_factory.mktemp("fuzz")
    found = fuzzed([*FORMATS], N, seed=11, workers=1, folder=folder)
    assert [outcome for outcome in found if outcome.problem] == []
    assert not any(folder.iterdir())
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files_are_read_right_or_refused(outcomes: list[Outcome], name: str) -> None:
    readings = [f"{name} {reading.name}" for reading in FORMATS[name].readings]
    found = [outcome for outcome in outcomes if outcome.kind in readings]
    assert len(found) == N * len(readings)
    assert {o.name for o in found} == {"read", "ConfigError" if name == "split" else "CubeFormatError"}


def _read(error: Exception | None) -> Reading:
    def read(path: Path) -> bytes:
        if error is not None:
            raise error
        return path.read_bytes()

    def differs(path: Path, found: bytes) -> bool:
        return found != b"right"

    return Reading("bytes", read, differs)


@pytest.mark.parametrize(
    ("error", "content", "problem"),
    [
        (None, b"right", None),
        (None, b"wrong", "read as something else"),
        (KeyError("image_id"), b"", "KeyError: 'image_id'"),
        (MemoryError(), b"", "MemoryError"),
    ],
)
def test_what_breaks_the_promise_is_found(
    tmp_path: Path, error: Exception | None, content: bytes, problem: str | None
) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    found = reading_of(_read(error), path).problem
    assert found is None if problem is None else problem in str(found)
