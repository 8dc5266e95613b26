"""Conversion of Cubert's sessions to ENVI cubes.

It runs with numpy and the vendor's `cuvis` alone, also with numpy 1, since some of the vendor's wheels bundle
their SDK and ask for numpy below 2.
"""

import logging
from pathlib import Path

from cuvis_ai.data.formats import cu3s, envi
from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError
from cuvis_ai.paths import StrPath

_log = logging.getLogger(__name__)


def convert(session: StrPath, folder: StrPath) -> list[Path]:
    """Write each measurement of a .cu3s session as an ENVI cube, and return the headers.

    Measurement 3 of `tray.cu3s` becomes `tray_0003.hdr` and `tray_0003.img`: BIP, in the session's number
    type, with wavelengths in nm.

    Args:
        session: the .cu3s file.
        folder: where to write; made if missing.

    Raises:
        DatasetNotFoundError: there is no such session.
        CubeFormatError: it is another file.
        FileExistsError: a cube of that name is in the folder; nothing is written then.
        MissingExtraError: `cuvis` or its SDK is not installed.
    """
    session, folder = Path(session), Path(folder)
    if session.suffix.lower() not in cu3s.FORMAT.other_suffixes and session.exists():
        raise CubeFormatError(
            f"{session}: expected a .cu3s session, got another file. Other formats need no conversion: the "
            "commands read them."
        )
    if not session.is_file():
        raise DatasetNotFoundError(
            f"{session}: expected a .cu3s session, got no such file. Correct the path."
        )
    headers = [folder / f"{session.stem}_{i:04d}.hdr" for i in range(cu3s.n_measurements(session))]
    present = [path for header in headers for path in (header, header.with_suffix(".img")) if path.exists()]
    if present:
        raise FileExistsError(
            f"{folder}: expected no cubes of {session.name}, got {len(present)} files such as "
            f"{present[0].name}. Remove them, or give another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for i, header in enumerate(headers):
        contents = cu3s.read(session, str(i))
        values = contents.source.read(*(slice(0, n) for n in contents.source.shape))
        description = f"{session.name}, measurement {i}"
        envi.write(header, values, description=description, wavelengths=contents.wavelengths)
        _log.info("%s: written, %d of %d.", header, i + 1, len(headers))
    return headers
