"""URLs in place of paths: what counts as one, and the error where only a path will do.

A URL counts where the user gives it as text. Paths that come out of files, folders and configurations are
`Path`s, which are never taken for URLs, so that no file makes this project open a connection.
"""

import re
from typing import NewType

from cuvis_ai.errors import CubeFormatError
from cuvis_ai.paths import StrPath

Url = NewType("Url", str)
"""A text that is a URL."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.:-]+)(://.+)")  # a letter alone is a drive


def url_of(path: StrPath) -> Url | None:
    """Return the URL that a text is, its scheme in lower case; None for a path.

    Example:
        >>> url_of("S3://bucket/scene.zarr"), url_of("scene.zarr")
        ('s3://bucket/scene.zarr', None)
    """
    found = _URL.fullmatch(path) if isinstance(path, str) else None
    return None if found is None else Url(found[1].lower() + found[2])


def require_path(path: StrPath, what: str) -> None:
    """Raise a `CubeFormatError` for a URL where only a path will do.

    Args:
        path: as the user gave it.
        what: is read from there: "a mask".
    """
    if url_of(path) is not None:
        raise CubeFormatError(
            f"{path}: expected {what} as a local path, got a URL. Copy the file to this machine first; "
            "`read_cube` reads zarr stores and TIFFs by URL, `read_mask` TIFFs."
        )
