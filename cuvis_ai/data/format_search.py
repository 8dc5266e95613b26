"""The cube formats, those of the package `formats` and of plug-ins, and which of them a file has."""

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from cuvis_ai.data import formats
from cuvis_ai.data.sources.cube_format import CubeFormat
from cuvis_ai.errors import ConfigError, CubeFormatError
from cuvis_ai.plugins import FORMATS as GROUP
from cuvis_ai.plugins import offered

FORMATS: tuple[CubeFormat, ...] = tuple(
    importlib.import_module(f"{formats.__name__}.{module.name}").FORMAT
    for module in pkgutil.iter_modules(formats.__path__)
)
"""The package's own formats, in the order of their modules' names."""

_plugged: dict[str, CubeFormat] = {}
_allowed: list[str] = []

_BEGINNING = 4096
"""Bytes in which a signature is looked for."""


_ZIP = b"PK\3\4"
"""How zips begin, a container of several formats that their endings tell apart."""


def known_formats() -> tuple[CubeFormat, ...]:
    """Return the package's own formats, then those of allowed plug-ins, which take no file from these."""
    return (*FORMATS, *_plugged.values())


def allowed_packages() -> tuple[str, ...]:
    """Return the packages whose formats this process reads, for another one that reads the same files."""
    return tuple(_allowed)


def allow_formats(packages: Sequence[str]) -> None:
    """Let this process read the formats that installed packages offer in the entry points `cuvis_ai.formats`.

    Args:
        packages: import names, which are imported if they offer a format; what they do is not limited.

    Raises:
        ConfigError: a package offers something that is no `CubeFormat`, or cannot be imported.
    """
    for one in offered(GROUP, packages):
        try:
            found = one.load()
        except (ImportError, AttributeError) as err:
            raise ConfigError(
                f"plug-in `{one.name}` of `{GROUP}`: expected {one.value}, got: {err}. Reinstall its package."
            ) from err
        if not isinstance(found, CubeFormat):
            raise ConfigError(f"plug-in `{one.name}` of `{GROUP}`: expected a CubeFormat, got {found!r}.")
        _plugged[f"{one.module}:{one.attr}"] = found
    _allowed.extend(package for package in packages if package not in _allowed)


def format_of(path: Path) -> CubeFormat:
    """Return the format of a file or folder.

    Its first bytes decide, then a header beside it, then its ending, so that an ENVI data file may have any.

    Raises:
        CubeFormatError: no format is known by any of them.
    """
    if found := next(_candidates(path), None):
        return found
    if path.is_dir():
        raise CubeFormatError(f"{path}: expected a file or a zarr store, got a folder. Pass a file in it.")
    known = ", ".join(suffix for one in known_formats() for suffix in (*one.suffixes, *one.other_suffixes))
    raise CubeFormatError(
        f"{path}: expected {known} or an ENVI data file with its header beside it, got a file of "
        f"{path.stat().st_size} bytes that begins with {_beginning(path)[:16]!r}. Convert it to one of these."
    )


def _candidates(path: Path) -> Iterator[CubeFormat]:
    """Yield the formats that a file may have, the surest first."""
    if path.is_dir():
        yield from (
            one for one in known_formats() if any((path / name).is_file() for name in one.folder_files)
        )
        return
    beginning, suffix = _beginning(path), path.suffix.lower()
    ending = [one for one in known_formats() if suffix in one.suffixes or suffix in one.other_suffixes]
    signatures = [(at, signature, one) for one in known_formats() for at, signature in one.signatures]
    for at, signature, one in sorted(signatures, key=lambda known: known[0]):
        if beginning.startswith(signature, at):
            yield one
    if beginning.startswith(_ZIP):
        yield from ending
    yield from (one for one in known_formats() if one.header_beside(path))
    yield from ending


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_BEGINNING)
