import zipfile
import zlib
from pathlib import Path

import pytest

from cuvis_ai.data.sources.decoding import UndecodableError, decoding
from cuvis_ai.errors import CubeFormatError, MissingExtraError, printable


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


def test_what_our_own_decoders_say_gets_the_files_name() -> None:
    said = pytest.raises(CubeFormatError, match=r"^a\.mat: expected 2 numbers, got 3\. It is damaged")
    with said, decoding(Path("a.mat")):
        raise UndecodableError("expected 2 numbers, got 3.")


@pytest.mark.parametrize("error", [CubeFormatError, UndecodableError, ValueError])
def test_text_of_a_file_cannot_steer_a_terminal_or_flood_it(error: type[Exception]) -> None:
    with pytest.raises(CubeFormatError) as refusal, decoding(Path("a.mat")):
        raise error("expected a name, got \x1b[2J\n" + "x" * 10**6)
    assert str(refusal.value).isprintable()
    assert r"\x1b[2J\n" in str(refusal.value)
    assert len(str(refusal.value)) < 1500


def test_printable_leaves_text_as_it_is() -> None:
    text = "Ångström, 3 × 4 µm … “quoted”"
    assert printable(text) == text
    assert printable("a" * 1000) == "a" * 1000
    assert printable("a" * 1001).endswith("a … " + "a" * 333)
