"""The one place where a decoder's own error becomes a `CubeFormatError` that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError, MissingExtraError

_OURS = (CubeFormatError, DatasetNotFoundError, MissingExtraError)
_NO_DAMAGE = (FileNotFoundError, PermissionError)
"""What the operating system says of a file that may be whole."""


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into an error that names the file.

    Raises:
        CubeFormatError: the decoder raised something; its error is the cause.
    """
    try:
        yield
    except (*_OURS, *_NO_DAMAGE):
        raise
    except Exception as err:  # a damaged file makes its decoder raise anything, from KeyError to zlib.error
        said = f"{type(err).__name__}: {err}".removesuffix(": ")
        raise CubeFormatError(
            f"{path}: expected a file that can be decoded, got {said[:300]}. It is damaged or cut short, "
            "or its writer did not finish; copy or write it again."
        ) from err
