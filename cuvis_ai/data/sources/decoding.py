"""The one place where a decoder's own error becomes a `CubeFormatError` that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager

from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError, MissingExtraError, printable


class UndecodableError(Exception):
    """What is wrong with a file's content, as "expected …, got …"; `decoding` adds the file's name."""


_ADVICE = "It is damaged or cut short, or its writer did not finish; copy or write it again."
_NO_DAMAGE = (DatasetNotFoundError, MissingExtraError, FileNotFoundError, PermissionError)
"""What is said of a file that may be whole."""


@contextmanager
def decoding(path: object) -> Iterator[None]:
    """Turn whatever a decoder raises into an error that names the file.

    Raises:
        CubeFormatError: the decoder raised something; its error is the cause.
    """
    try:
        yield
    except _NO_DAMAGE:
        raise
    except CubeFormatError as err:
        if (message := printable(str(err))) == str(err):
            raise
        raise CubeFormatError(message) from err
    except UndecodableError as err:
        raise CubeFormatError(printable(f"{path}: {err} {_ADVICE}")) from err
    except Exception as err:  # a damaged file makes its decoder raise anything, from KeyError to zlib.error
        said = printable(f"{type(err).__name__}: {err}".removesuffix(": "), 300)
        raise CubeFormatError(f"{path}: expected a file that can be decoded, got {said}. {_ADVICE}") from err
