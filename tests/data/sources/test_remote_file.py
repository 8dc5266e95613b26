"""One file behind a URL: any bytes of it in any order, and nothing else."""

import pickle
import threading
from pathlib import Path

import pytest

from cuvis_ai.data.sources.remote_file import RemoteFile, size_of
from cuvis_ai.data.sources.urls import Url
from tests.data.served import Served, WithRanges, serving

CONTENT = bytes(i * i % 251 for i in range(3 << 20))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.bin").write_bytes(CONTENT)
    return tmp_path


@pytest.mark.parametrize("handler", [WithRanges, Served])
def test_bytes_are_read_in_any_order(folder: Path, handler: type[Served]) -> None:
    with serving(folder, handler) as address:
        remote = RemoteFile(Url(f"{address}/a.bin"))
        assert size_of(remote) == len(CONTENT)
        with remote.opener("x") as opener, opener("x") as one, opener("x", "rb") as other:
            one.seek(2_000_000)
            assert other.read(10) == CONTENT[:10]
            assert one.read(10) == CONTENT[2_000_000:2_000_010]
            assert one.tell() == 2_000_010
            one.seek(-3, 2)
            assert one.read() == CONTENT[-3:]
            assert one.read(5) == b""
        assert pickle.loads(pickle.dumps(remote)).read(7, 3) == CONTENT[7:10]


def test_a_part_costs_no_more_than_the_blocks_that_it_lies_in(folder: Path) -> None:
    with serving(folder, WithRanges) as address:
        assert RemoteFile(Url(f"{address}/a.bin")).read(10, 5) == CONTENT[10:15]
    assert sum(Served.n_sent) <= 2 << 20


def test_threads_share_a_file(folder: Path) -> None:
    with serving(folder, WithRanges) as address:
        remote, found = RemoteFile(Url(f"{address}/a.bin")), {}

        def read(start: int) -> None:
            found[start] = remote.read(start, 1000)

        threads = [threading.Thread(target=read, args=(start,)) for start in range(0, 3_000_000, 300_000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {start: CONTENT[start : start + 1000] for start in range(0, 3_000_000, 300_000)}


@pytest.mark.parametrize(
    ("name", "mode"), [("other", "rb"), ("x.msk", "rb"), ("/etc/hostname", "rb"), ("x", "wb")]
)
def test_an_opener_finds_that_file_alone(name: str, mode: str) -> None:
    with RemoteFile(Url("https://x.invalid/a.bin")).opener("x") as opener, pytest.raises(FileNotFoundError):
        opener(name, mode)
