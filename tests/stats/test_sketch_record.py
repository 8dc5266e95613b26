"""Sketches survive the way through plain tensors and numbers, and take no other state."""

import numpy as np
import pytest
import torch

from cuvis_ai.errors import GraphError
from cuvis_ai.stats import (
    ChannelMoments,
    ChannelMomentsByClass,
    Extrema,
    Moments,
    MomentsByClass,
    ScoreDistribution,
    Sketch,
)
from cuvis_ai.stats.sketch_record import as_record, from_record

PIXELS = torch.from_numpy(np.random.default_rng(0).normal(size=(200, 3)))
TRUTH = torch.from_numpy(np.random.default_rng(1).random(200) < 0.2)


@pytest.mark.parametrize("kind", [ChannelMoments, Moments, Extrema, MomentsByClass, ChannelMomentsByClass])
def test_a_record_restores_the_sketch_bit_for_bit(kind: type[Sketch]) -> None:
    sketch = kind()
    sketch.update(PIXELS, None, TRUTH)
    record = as_record(sketch)
    assert all(isinstance(value, torch.Tensor | int | float | bool) for value in record.values())
    restored = from_record(kind(), record)
    again = as_record(restored)
    assert record.keys() == again.keys()
    assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(again[n])) for n, a in record.items())
    assert restored.count == 200


def test_scores_that_wait_to_be_sorted_are_in_the_record() -> None:
    scores = ScoreDistribution()
    scores.update(PIXELS[:, :1], None, TRUTH)
    restored = from_record(ScoreDistribution(), as_record(scores))
    assert isinstance(restored, ScoreDistribution)
    for q in (0.0, 0.3, 1.0):
        assert restored.quantile(q) == np.quantile(PIXELS[:, 0].float().double().numpy(), q)
    assert restored.confusion(0.1) == scores.confusion(0.1)


def test_another_sketchs_state_is_refused() -> None:
    sketch = Moments()
    sketch.update(PIXELS)
    with pytest.raises(GraphError, match="expected `low` of the kind Tensor, got NoneType"):
        from_record(Extrema(), as_record(sketch))
    with pytest.raises(GraphError, match="besides"):
        from_record(Moments(), {**as_record(sketch), "low": torch.zeros(3)})
    with pytest.raises(GraphError, match="expected `count` of the kind int, got bool"):
        from_record(Moments(), {**as_record(sketch), "count": True})
