"""A zip of two members that are stored uncompressed, and sealed; read as untrusted.

The zip's comment holds the SHA-256 of all bytes before it, so no changed byte goes unnoticed. Anybody
can seal anything, so sealed content is trusted no more: a file cannot unpack to more than its size, and
is refused for any member that is surplus, doubled, renamed, linked, compressed or encrypted.
"""

import hashlib
import io
import stat
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

from cuvis_ai.errors import ArchiveError

MEMBERS = ("manifest.json", "weights.safetensors")
_SEAL = b"sha256="
_DIGEST_LENGTH = 64
_BLOCK = 2**20
_ENTRY = b"PK\x01\x02"
_MOST_ENTRIES = 1000

# The last three because zipfile does not check offsets, names and extra fields before it uses them.
_OF_ZIPFILE = (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError,
               ValueError, OverflowError, struct.error)  # fmt: skip


def sealed(contents: Sequence[bytes]) -> bytes:
    """Return the bytes of a zip whose comment holds the digest of all that precedes the digest."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name, content in zip(MEMBERS, contents, strict=True):
            # A fixed date: the same graph gives the same bytes.
            file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
        file.comment = _SEAL + b"0" * _DIGEST_LENGTH
    body = buffer.getvalue()[:-_DIGEST_LENGTH]
    return body + hashlib.sha256(body).hexdigest().encode()


def read(path: Path) -> tuple[bytes, bytes]:
    """Return the two members; errors do not name the path.

    Raises:
        ArchiveError: the file is damaged, or no such zip.
        FileNotFoundError: there is none.
    """
    if path.exists() and not path.is_file():
        raise ArchiveError("expected a file, got a folder or device.")
    _check_seal(path)
    content = path.read_bytes()
    # zipfile makes an object of each entry: a thousand are cheap, the millions that a file may hold are not.
    if content.count(_ENTRY) > _MOST_ENTRIES:
        raise ArchiveError(f"expected {len(MEMBERS)} members, got more than {_MOST_ENTRIES}.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            infos = file.infolist()
            _check_members(infos, len(content))
            manifest, weights = (file.read(info) for info in infos)
            return manifest, weights
    except ArchiveError:
        raise
    except _OF_ZIPFILE as err:
        raise ArchiveError(f"not a readable zip file: {err}.") from err


def _check_seal(path: Path) -> None:
    """Raise an `ArchiveError` unless the digest is right; reads in blocks, so any size will do."""
    size = path.stat().st_size
    digest, end, left = hashlib.sha256(), b"", size - _DIGEST_LENGTH
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            digest.update(block)
            end = (end + block)[-len(_SEAL) :]
            left -= len(block)
        stated = file.read(_DIGEST_LENGTH)
    if end != _SEAL or digest.hexdigest().encode() != stated:
        raise ArchiveError(
            "expected a file written by `graph.save_to_file`, whole and unchanged; its checksum "
            f"does not match ({size} bytes). Copy or save it again."
        )


def _check_members(infos: Sequence[zipfile.ZipInfo], size: int) -> None:
    names = tuple(info.filename for info in infos)
    if names != MEMBERS:
        listed = ", ".join(f"{name[:40]!a}" for name in names[:4]) + (", …" if len(names) > 4 else "")
        raise ArchiveError(f"expected the members {', '.join(MEMBERS)}, got {listed or 'none'}.")
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise ArchiveError(f"{info.filename}: expected a file, got a link, folder or device.")
        stored = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        if not stored or info.file_size > size:
            raise ArchiveError(f"{info.filename}: expected a member that is stored uncompressed.")
