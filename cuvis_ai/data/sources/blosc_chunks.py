"""Chunks of zarr stores that blosc decodes, which reads on in memory where one is cut short."""

from typing import Any

from cuvis_ai.data.sources.decoding import UndecodableError
from cuvis_ai.errors import import_extra

_HEAD = 16
"""Bytes of blosc's own header, of which the last four are the chunk's length."""
_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


def checked(array: Any) -> Any:
    """Return a zarr array that raises an `UndecodableError` for chunks that are not as long as they say.

    It is the same array where blosc does not come last, or decodes parts of shards, placed by checksums.
    """
    zarr = import_extra("zarr", "zarr", f"reading `{array.path}`")
    last = array.compressors[-1] if array.compressors else None
    if "Blosc" not in type(last).__name__ or array.shards is not None:
        return array

    class WholeChunks(zarr.storage.WrapperStore):  # type: ignore[misc, name-defined]  # zarr is optional
        async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
            """Return an object's bytes; None: there is none."""
            content = await self._store.get(key, prototype, byte_range)
            if content is not None and key.rpartition("/")[2] not in _METADATA:
                said = int.from_bytes(content[12:_HEAD].to_bytes(), "little")
                if len(content) < _HEAD or len(content) != said:
                    raise UndecodableError(f"expected {said} bytes in the chunk `{key}`, got {len(content)}.")
            return content

    return zarr.open_array(store=WholeChunks(array.store), path=array.path, mode="r")
