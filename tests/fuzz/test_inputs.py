"""The fuzzer of input files, in its short form."""

from pathlib import Path

import pytest

from fuzz.input_formats import FORMATS
from fuzz.inputs import Format, fuzzed, outcome_of

pytest.importorskip("pycocotools", reason="needs pycocotools for COCO annotations")


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files_are_read_right_or_refused(tmp_path: Path, name: str) -> None:
    outcomes = fuzzed(name, 150, seed=11, workers=1, folder=tmp_path)
    assert [outcome.problem for outcome in outcomes if outcome.problem] == []
    assert len(outcomes) == 150
    assert {"read", "ConfigError" if name == "split" else "CubeFormatError"} == {o.name for o in outcomes}
    assert not any(tmp_path.iterdir())


def _read(error: Exception | None) -> Format:
    def read(path: Path) -> bytes:
        if error is not None:
            raise error
        return path.read_bytes()

    def differs(path: Path, found: bytes) -> bool:
        return found != b"right"

    return FORMATS["split"]._replace(read=read, differs=differs)


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
    found = outcome_of(_read(error), path).problem
    assert found is None if problem is None else problem in str(found)
