"""Files of statistics: what `sketch` did not write is refused as a damaged file."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cuvis_ai.errors import ArchiveError
from cuvis_ai.pipeline.saving.sketch_file import read_sketches


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\x08\0\0\0\0\0\0\0{}      "])
def test_damaged_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(content)
    with pytest.raises(ArchiveError, match="expected statistics that `sketch` wrote"):
        read_sketches([tmp_path / "part"], "graph")


@pytest.mark.parametrize("header", ["[]", "{", '{"format": 1}', "null"])
def test_headers_of_another_form_are_refused(header: str, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "part", {"cuvis_ai": header})
    with pytest.raises(ArchiveError, match="expected statistics that `sketch` wrote"):
        read_sketches([tmp_path / "part"], "graph")
