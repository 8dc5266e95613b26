"""The search for cubes, masks and annotations in folders."""

import logging
import re
from pathlib import Path

from cuvis_ai.data.format_search import known_formats
from cuvis_ai.data.mask_pictures import SUFFIXES as PICTURES
from cuvis_ai.data.sources.name_order import by_number
from cuvis_ai.errors import ConfigError, DatasetNotFoundError
from cuvis_ai.paths import StrPath

SPLIT_FILE = "splits.json"
"""Name of the file that says which cube is in which split: `{"train": ["a", "b"], "val": [3], …}`."""

MASK_ENDING = "_mask"
"""What a mask's file name adds to its cube's."""

logger = logging.getLogger(__name__)

_REFERENCE = re.compile(r"(?<![a-z])(white|dark|whitedark)[ _-]?ref(erence)?(?![a-z])")
"""What the names of a scanner's recordings of its shutter and of a white tile have in them."""


def require_folder(folder: Path, where: str, advice: str) -> Path:
    """Return the folder as an absolute path.

    Args:
        folder: as the user gave it.
        where: subject of the message.
        advice: what the user can do, as whole sentences.

    Raises:
        DatasetNotFoundError: there is no such folder.
    """
    absolute = folder.expanduser().absolute()
    if not absolute.is_dir():
        found = "a file" if absolute.exists() else "no such folder"
        raise DatasetNotFoundError(
            f"{where}: expected the data set's folder {absolute}, got {found}. {advice}"
        )
    return absolute


def find_annotations(folder: Path, given: StrPath | None, where: str) -> Path | None:
    """Return the COCO JSON of a folder: the given one, else the only one, else None.

    Other JSON files may lie beside it: one with `images` and `annotations` is taken for COCO.

    Args:
        folder: where to look.
        given: what the user gave, from the folder.
        where: subject of messages.

    Raises:
        DatasetNotFoundError: the given file is not there.
        ConfigError: there are several and none is given.
    """
    if given is not None:
        path = folder / given
        if not path.is_file():
            raise DatasetNotFoundError(
                f"{where}: expected `annotations` to name a COCO JSON, got no such file: {path}. "
                "Give its path from `data_dir`."
            )
        return path
    found = sorted(path for path in folder.glob("*.json") if _is_coco(path))
    if len(found) > 1:
        raise ConfigError(
            f"{where}: expected one COCO JSON in {folder}, got {[path.name for path in found]}. "
            "Pass `annotations` with the name of one."
        )
    return found[0] if found else None


def _is_coco(path: Path) -> bool:
    """Whether a JSON speaks of images and annotations; looks for the words, since such files can be large."""
    content = path.read_bytes()
    return b'"images"' in content and b'"annotations"' in content


def find_cubes(folder: Path) -> list[Path]:
    """Return the cubes that lie directly in a folder, in file-name order; masks are left out.

    So are a scanner's references, such as `DARKREF_a.hdr` and `WHITEREF_a.hdr` beside `a.hdr`.
    """
    suffixes = cube_suffixes()
    found = sorted(
        (
            path
            for path in folder.iterdir()
            if path.suffix.lower() in suffixes
            and not path.name.startswith(".")
            and not cube_name(path).endswith(MASK_ENDING)
        ),
        key=by_number,
    )
    references = [path for path in found if _REFERENCE.search(cube_name(path).lower())]
    if not references or len(references) == len(found):
        return found
    logger.info(
        "%s: %d files are dark or white references, not cubes, such as %s.",
        *(folder, len(references), references[0].name),
    )
    return [path for path in found if path not in references]


def cube_suffixes() -> tuple[str, ...]:
    """Return the endings, in lower case, of files that are taken for cubes in a folder."""
    return tuple(suffix for known in known_formats() for suffix in known.suffixes)


def cube_name(path: Path) -> str:
    """Return a cube's name: its file name without endings (`a` for `a.npy` and for `a.dat.hdr`)."""
    stem, suffix = path.stem, path.suffix.lower()
    inner, dot, ending = stem.rpartition(".")
    named_twice = inner and any(
        suffix in known.suffixes and (dot + ending).lower() in known.data_suffixes
        for known in known_formats()
    )
    return inner if named_twice else stem


def other_files(path: Path) -> list[Path]:
    """Return the files beside a cube's header, or its data file, that hold the rest of it."""
    for known in known_formats():
        endings = {*known.suffixes, *known.data_suffixes}
        if known.data_suffixes and path.suffix.lower() in endings:
            either = sorted(endings | {ending.upper() for ending in endings})
            names = dict.fromkeys(base + ending for base in (path.stem, path.name) for ending in either)
            beside = (path.with_name(name) for name in names if name != path.name)
            return [other for other in beside if other.is_file()]
    return []


def find_mask(cube: Path, folders: list[Path]) -> Path | None:
    """Return a cube's mask: `<name>_mask.*` beside it, else `<name>.*` or `<name>_mask.*` in the folders."""
    name = cube_name(cube)
    stems = [cube.parent / f"{name}{MASK_ENDING}"]
    stems += [folder / stem for folder in folders for stem in (name, f"{name}{MASK_ENDING}")]
    candidates = (Path(f"{stem}{suffix}") for stem in stems for suffix in (*PICTURES, *cube_suffixes()))
    return next((path for path in candidates if path.exists()), None)
