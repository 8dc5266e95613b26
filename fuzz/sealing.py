"""Archives as an attacker writes them: any members, sealed so that they are parsed."""

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SEAL = b"sha256="
MEMBERS = ("manifest.json", "weights.safetensors")


@dataclass(frozen=True)
class Contents:
    """The two members of an archive."""

    manifest: bytes
    weights: bytes

    @classmethod
    def of(cls, archive: bytes) -> "Contents":
        """Read a whole archive."""
        with zipfile.ZipFile(io.BytesIO(archive)) as file:
            return cls(*(file.read(name) for name in MEMBERS))

    def parsed(self) -> dict[str, Any]:
        """Return the manifest."""
        manifest: dict[str, Any] = json.loads(self.manifest)
        return manifest

    def header(self) -> tuple[dict[str, Any], bytes]:
        """Return the header of the weights, parsed, and the bytes after it."""
        (length,) = struct.unpack("<Q", self.weights[:8])
        return json.loads(self.weights[8 : 8 + length]), self.weights[8 + length :]

    def archive(self) -> bytes:
        """Return a sealed zip of the two members."""
        return zipped([*zip(MEMBERS, (self.manifest, self.weights), strict=True)])


def with_header(header: bytes, values: bytes, length: int | None = None) -> bytes:
    """Return a safetensors file, with a false length of its header if one is given."""
    return struct.pack("<Q", len(header) if length is None else length % 2**64) + header + values


def zipped(
    members: Sequence[tuple[str | zipfile.ZipInfo, bytes]], compress: int = zipfile.ZIP_STORED
) -> bytes:
    """Return a sealed zip of any members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compress) as file:
        for name, content in members:
            # A fixed date, so that a mutation can be made again.
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)) if isinstance(name, str) else name
            info.compress_type = compress
            file.writestr(info, content)
        file.comment = SEAL + b"0" * 64
    return resealed(buffer.getvalue())


def resealed(archive: bytes) -> bytes:
    """Return the bytes with a seal that agrees with them."""
    body = archive[:-64]
    body = body if body.endswith(SEAL) else body + SEAL
    return body + hashlib.sha256(body).hexdigest().encode()
