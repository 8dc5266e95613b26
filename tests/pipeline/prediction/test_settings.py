"""Settings that are impossible are refused before anything is read."""

from typing import Any

import pytest

from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.prediction.settings import PredictionSettings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "jpeg"}, "`format` as one of envi, geotiff, npy, zarr"),
        ({"min_pixels": 0, "top": 0}, "`min_pixels` of 1 or more, got 0"),
        ({"threshold": float("nan")}, "`threshold` as a number, got nan"),
        ({"top": 0}, "`top` of 1 or more, got 0"),
        ({"shard": (3, 2)}, "got 3/2"),
        ({"overwrite": True, "resume": True}, "got both"),
        ({"overwrite": True, "shard": (1, 2)}, "got both"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PredictionSettings(**options)


def test_shards_go_on_from_what_others_did() -> None:
    assert PredictionSettings(shard=(2, 3)).goes_on
    assert not PredictionSettings().goes_on
