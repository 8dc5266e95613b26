"""The end of a model is the checksum of what stands before it, and an entry of its metadata."""

import hashlib

import pytest

from cuvis_ai.pipeline.prediction.model_checksum import is_whole, with_checksum

onnx = pytest.importorskip("onnx")


def model() -> bytes:
    made = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    onnx.helper.set_model_props(made, {"graph": "rx"})
    content: bytes = made.SerializeToString()
    return content


def test_onnx_reads_it_as_one_more_entry() -> None:
    read = onnx.load_model_from_string(with_checksum(model()))
    assert {one.key: one.value for one in read.metadata_props} == {
        "graph": "rx",
        "sha256": hashlib.sha256(model()).hexdigest(),
    }


def test_every_changed_or_missing_byte_shows() -> None:
    content = with_checksum(model())
    assert is_whole(content)
    for at in range(len(content)):
        assert not is_whole(content[:at])
        assert not is_whole(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert not is_whole(content + b"\n")
    assert not is_whole(model())
