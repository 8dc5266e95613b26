"""Sketches and sums over the ranks of a run: without a process group, and over two processes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from cuvis_ai.stats import Moments, merged_over_ranks
from cuvis_ai.stats.ranks import share_of_rank, sum_over_ranks

RANK = """
import sys
import numpy as np
import torch
import torch.distributed as dist
from cuvis_ai.stats import ClassCounts, Extrema, Moments, ScoreDistribution, merged_over_ranks
from cuvis_ai.stats.ranks import share_of_rank, sum_over_ranks

rank, store, pixels, out = int(sys.argv[1]), *sys.argv[2:]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
x = torch.from_numpy(np.load(pixels))
parts = [x[:40], x[40:]]
moments, extrema, scores, nothing = Moments(), Extrema(), ScoreDistribution(), ClassCounts()
moments.update(parts[rank])
scores.update(parts[rank][:, :1])
if rank == 1:
    extrema.update(x)  # rank 0 has seen nothing
moments, extrema, scores, nothing = map(merged_over_ranks, (moments, extrema, scores, nothing))
total = sum_over_ranks(torch.tensor([1.0, float(rank)]))
like = torch.tensor(0.0, dtype=torch.float64)
shares = [float(share_of_rank(n, like)) for n in (30 * rank, [10, 30][rank], torch.tensor(0))]
np.savez(
    out, count=moments.count, mean=moments.mean, covariance=moments.covariance(), low=extrema.low,
    scores=[scores.quantile(q / 10) for q in range(11)], nothing=nothing.count, total=total, shares=shares,
)
dist.destroy_process_group()
"""


def test_two_ranks_have_the_sketches_of_all_pixels(repository: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(100, 4)) + 100
    np.save(tmp_path / "pixels.npy", x)
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), tmp_path / "store", tmp_path / "pixels.npy", tmp_path / f"{rank}"],
            cwd=repository, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    for rank in ranks:
        _, errors = rank.communicate()
        assert rank.returncode == 0, errors
    found = [np.load(tmp_path / f"{rank}.npz") for rank in range(2)]
    for values in found:
        assert (values["count"], values["nothing"]) == (100, 0)
        np.testing.assert_allclose(values["mean"], x.mean(0), rtol=1e-14)
        np.testing.assert_allclose(values["covariance"], np.cov(x, rowvar=False), rtol=1e-10)
        np.testing.assert_array_equal(values["low"], x.min(0))
        np.testing.assert_array_equal(
            values["scores"], np.quantile(x[:, 0].astype(np.float32).astype(float), np.arange(11) / 10)
        )
        assert values["total"].tolist() == [2.0, 1.0]
    assert all((found[0][name] == found[1][name]).all() for name in found[0] if name != "shares")
    # Counts 0 and 30, 10 and 30, 0 and 0.
    assert [values["shares"].tolist() for values in found] == [[0.0, 0.5, 1.0], [2.0, 1.5, 1.0]]


def test_without_a_process_group_they_are_themselves() -> None:
    sketch, tensor = Moments(), torch.ones(2)
    assert merged_over_ranks(sketch) is sketch
    assert sum_over_ranks(tensor) is tensor
    assert share_of_rank(0, tensor[0]) == 1
