import zipfile
import zlib
from pathlib import Path

import pytest

from cuvis_ai.data.sources.decoding import decoding
from cuvis_ai.errors import CubeFormatError, MissingExtraError


@pytest.mark.parametrize(
    "error",
    [
        zlib.error("-3"),
        zipfile.BadZipFile("no"),
        KeyError("a"),
        MemoryError(),
        RecursionError(),
        OSError("h5"),
    ],
)
def test_whatever_a_decoder_raises_names_the_file(error: Exception) -> None:
    with (
        pytest.raises(CubeFormatError, match=rf"a\.npy: .* got {type(error).__name__}") as refusal,
        decoding(Path("a.npy")),
    ):
        raise error
    assert refusal.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [CubeFormatError("b"), MissingExtraError("b"), FileNotFoundError("b"), PermissionError("b")]
)
def test_errors_that_say_it_themselves_stay(error: Exception) -> None:
    with pytest.raises(type(error)) as refusal, decoding(Path("a.npy")):
        raise error
    assert refusal.value is error
