"""What an attacker does to an archive's bytes and to its zip; the members stay what they were.

All but `cut_or_flipped` seal what they return, so that the parsing behind the seal is reached.

May import: `fuzz.sealing`.
"""

import json
import random
import stat
import struct
import zipfile

from fuzz.sealing import MEMBERS, Contents, resealed, zipped


def _bytes_changed(rng: random.Random, content: bytes) -> bytes:
    """Cut, flip, insert, repeat or blank some bytes."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        start = rng.randrange(len(changed) + 1)
        size = rng.choice((1, 1, 2, 4, 8, 100))
        kind = rng.randrange(6)
        if kind == 0:
            del changed[start : None if rng.random() < 0.3 else start + size]
        elif kind == 1 and start < len(changed):
            changed[start] ^= 1 << rng.randrange(8)
        elif kind == 2:
            changed[start:start] = rng.randbytes(size)
        elif kind == 3:
            changed[start : start + size] = rng.randbytes(size)
        elif kind == 4:
            changed[start:start] = changed[max(0, start - size) : start]
        else:
            changed[start : start + size] = rng.choice((b"\x00", b"\xff")) * size
    return bytes(changed)


def cut_or_flipped(rng: random.Random, contents: Contents) -> bytes:
    """Bytes change and the seal does not."""
    return _bytes_changed(rng, contents.archive())


def resealed_bytes(rng: random.Random, contents: Contents) -> bytes:
    """Any bytes change, and the seal with them."""
    archive = contents.archive()
    if rng.random() < 0.5:  # the zip's own structures are few bytes: aim at them
        start = archive.rindex(b"PK\x01\x02" + b"\x14", 0, len(archive) - 22)
        start = rng.choice((0, start, max(0, len(archive) - 300)))
        return resealed(archive[:start] + _bytes_changed(rng, archive[start:]))
    return resealed(_bytes_changed(rng, archive))


def member_bytes(rng: random.Random, contents: Contents) -> bytes:
    """Bytes of a member change inside a zip that is sound."""
    if rng.random() < 0.5:
        return Contents(_bytes_changed(rng, contents.manifest), contents.weights).archive()
    start = rng.choice((8, 8 + len(json.dumps(contents.header()[0]))))
    weights = _bytes_changed(rng, contents.weights[:start]) + contents.weights[start:]
    return Contents(contents.manifest, weights).archive()


def zip_structure(rng: random.Random, contents: Contents) -> bytes:
    """Surplus, doubled, renamed, linked, compressed, encrypted and misdeclared members."""
    members: list[tuple[str | zipfile.ZipInfo, bytes]] = [
        *zip(MEMBERS, (contents.manifest, contents.weights), strict=True)
    ]
    kind = rng.randrange(12)
    strange = rng.choice(
        ("../../evil", "/etc/passwd", "..\\evil", "C:evil", "a/b/", "é", "manifest.json", *MEMBERS)
    )
    if kind == 0:
        members.insert(rng.randrange(3), (strange, rng.choice(members)[1]))
    elif kind == 1:
        members[rng.randrange(2)] = (strange, rng.choice(members)[1])
    elif kind == 2:
        del members[rng.randrange(2)]
    elif kind == 3:
        members.reverse()
    elif kind == 4:
        info = zipfile.ZipInfo(MEMBERS[i := rng.randrange(2)])
        info.external_attr = (rng.choice((stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO)) | 0o777) << 16
        members[i] = (info, rng.choice((b"/etc/passwd", members[i][1])))
    elif kind == 5:
        bomb = (rng.choice((*MEMBERS, "bomb")), bytes(rng.choice((10**3, 10**6, 10**8))))
        members[rng.randrange(2)] = bomb
        return zipped(members, rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)))
    elif kind == 6:
        return zipped(members, rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
    elif kind == 7 and rng.random() < 0.05:
        members += [(f"{i}", b"") for i in range(rng.choice((100, 60_000)))]
    elif kind == 8:
        info = zipfile.ZipInfo(MEMBERS[i := rng.randrange(2)])
        info.extra = rng.choice((struct.pack("<HHQQ", 1, 16, 2**40, 2**40), rng.randbytes(rng.randrange(40))))
        info.comment = rng.choice((b"", b"PK\x06\x07" + rng.randbytes(16)))
        members[i] = (info, members[i][1])
    elif kind == 9:
        return resealed(rng.randbytes(rng.randrange(1000)) + zipped(members))
    return _with_fields(rng, zipped(members))


def _with_fields(rng: random.Random, archive: bytes) -> bytes:
    """Overwrite fields of the zip's headers: flags, methods, sizes, lengths, offsets, counts."""
    changed = bytearray(archive)
    places = [
        i for mark in (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06") if (i := archive.find(mark)) >= 0
    ] + [archive.rfind(b"PK\x01\x02"), archive.rfind(b"PK\x03\x04")]
    for _ in range(rng.randrange(3)):
        at = rng.choice(places) + rng.randrange(4, 44, 2)
        value = rng.choice((0, 1, 8, 9, 99, 0xFFFF, 0x801, rng.randrange(2**16)))
        changed[at : at + 2] = struct.pack("<H", value)
        if rng.random() < 0.3:
            changed[at + 2 : at + 4] = b"\xff\xff"
    return resealed(bytes(changed))
