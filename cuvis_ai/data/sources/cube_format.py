"""`CubeFormat`: what a module of `formats` says of the files it reads."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cuvis_ai.data.sources.contents import CubeContents
from cuvis_ai.data.sources.members import Member
from cuvis_ai.data.sources.urls import Url


@dataclass(frozen=True, kw_only=True)
class CubeFormat:
    """How files of one format are known and read; each module of `formats` has one, called `FORMAT`."""

    read: Callable[[Path, str | None], CubeContents]
    """Returns the cube under a key of a file."""
    read_url: Callable[[Url, str | None], CubeContents] | None = None
    """Returns the same of a URL that ends in one of `suffixes`; None: such files are read locally alone."""
    members: Callable[[Path], dict[str, Member]] | None = None
    """Returns the named arrays of a file, one of which may be a mask; None: a file holds one array."""
    suffixes: tuple[str, ...]
    """Endings in lower case of files that are taken for cubes in a folder."""
    other_suffixes: tuple[str, ...] = ()
    """Endings of files that are read when named, and left alone in a folder."""
    signatures: tuple[tuple[int, bytes], ...] = ()
    """Positions and bytes, one pair of which every file has, whatever its ending; none beyond 4 kB."""
    folder_files: tuple[str, ...] = ()
    """Files one of which every folder of the format holds; empty: a folder is never of this format."""
    header_beside: Callable[[Path], Path | None] = lambda path: None
    """Returns the header of a data file of any name; None if it has none."""
    data_suffixes: tuple[str, ...] = ()
    """Endings of data files after which a header may be named, as `a.dat.hdr`."""
