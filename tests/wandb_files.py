"""Reads back what Weights & Biases wrote in an offline run."""

import json
import struct

import pytest


@pytest.fixture
def fresh_wandb(tmp_path, monkeypatch):
    """The folder that wandb writes to; it reads its environment once, unless it is torn down."""
    import wandb

    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    wandb.teardown()
    yield tmp_path
    wandb.teardown()


def offline_records(folder):
    """Yield the records of offline runs in a folder, the earliest first."""
    import wandb

    wandb.teardown()  # its service writes in the background, after a run is finished too
    for path in sorted(folder.rglob("offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        yield from _records(path)


def _records(path):
    """Yield the records of a file, stored in LevelDB's log format after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, pending = path.read_bytes(), 7, b""
    while position + 7 <= len(content):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        pending += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield Record.FromString(pending)
            pending = b""


def values_of(items):
    """Return the values of a record's items by name; those below a name as a mapping."""
    found = {}
    for item in items:
        name, *below = item.nested_key or [item.key]
        at = found
        for key in below:
            at, name = at.setdefault(name, {}), key
        at[name] = json.loads(item.value_json)
    return found


def history(records):
    """Return each value by name and axis."""
    found = {}
    for one in records:
        items = values_of(one.history.item)
        for name, value in items.items():
            axis = items.get("global_step") if name.endswith("_step") else items.get("epoch")
            found[name, axis] = value
    return found
