"""Chunks of HDF5 data sets, as far as HDF5 reads them without a look at how long they are."""

import math
from typing import Any

from cuvis_ai.data.sources.decoding import UndecodableError

_SHUFFLE = 2
"""HDF5's number of the filter that changes the order of bytes alone."""


def check_chunks(dataset: Any) -> None:
    """Raise an `UndecodableError` for chunks that hold fewer numbers than they say.

    The others would be whatever lies in memory. Chunks are not larger than the data set where it cannot grow,
    and uncompressed ones are as long as their numbers.
    """
    if not dataset.chunks:
        return
    for n, most in zip(dataset.chunks, dataset.maxshape, strict=True):
        if most is not None and n > most:
            raise UndecodableError(
                f"expected chunks of at most {dataset.maxshape} in `{dataset.name}`, got {dataset.chunks}."
            )
    properties = dataset.id.get_create_plist()
    if {properties.get_filter(i)[0] for i in range(properties.get_nfilters())} - {_SHUFFLE}:
        return
    n_bytes = dataset.dtype.itemsize * math.prod(dataset.chunks)
    n_chunks, stored = dataset.id.get_num_chunks(), dataset.id.get_storage_size()
    if stored != n_chunks * n_bytes:
        raise UndecodableError(
            f"expected {n_chunks} chunks of {n_bytes} bytes in `{dataset.name}`, got {stored} bytes in all."
        )
