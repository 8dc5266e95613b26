"""The checksum with which an exported model ends: ONNX Runtime may crash on a damaged file.

It is one more entry of the model's `metadata_props`, appended to the file: in protobuf, what is appended to
a message adds to its lists (protobuf.dev, "Encoding", on last one wins and concatenation). It needs no torch
and no onnx.
"""

import hashlib

_KEY = b"sha256"
_METADATA_PROPS, _NAME, _VALUE = b"\x72", b"\x0a", b"\x12"
"""Fields 14 of `ModelProto`, 1 and 2 of `StringStringEntryProto`, each with a length before its bytes."""


def with_checksum(content: bytes) -> bytes:
    """Return a model, as bytes, with the SHA-256 of all of them at its end.

    Example:
        >>> is_whole(with_checksum(b"model")), is_whole(with_checksum(b"model")[:-1])
        (True, False)
    """
    return content + _entry(content)


def is_whole(content: bytes) -> bool:
    """Return whether bytes end with the checksum of those before it."""
    size = len(_entry(b""))
    return content[-size:] == _entry(content[:-size])


def _entry(content: bytes) -> bytes:
    value = hashlib.sha256(content).hexdigest().encode()
    pair = b"".join(tag + bytes([len(text)]) + text for tag, text in ((_NAME, _KEY), (_VALUE, value)))
    return _METADATA_PROPS + bytes([len(pair)]) + pair
