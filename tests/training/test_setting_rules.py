"""Rules of settings: what passes, and what is said of what does not."""

from typing import Any

import pytest

from cuvis_ai.errors import ConfigError
from cuvis_ai.training.config import TrainerConfig
from cuvis_ai.training.setting_rules import limit, unknown_key


@pytest.mark.parametrize("value", [1, 7, 0.25, 1.0])
def test_a_limit_is_a_number_of_batches_or_a_share(value: float) -> None:
    assert limit(zero=False).holds(value)
    assert limit(zero=True).holds(value)


@pytest.mark.parametrize("value", [-1, -0.5, 1.5, True, "1", float("nan")])
def test_what_is_neither_is_refused(value: object) -> None:
    assert not limit(zero=False).holds(value)
    assert not limit(zero=True).holds(value)


@pytest.mark.parametrize("value", [0, 0.0])
def test_nothing_is_a_limit_where_it_makes_sense(value: float) -> None:
    assert limit(zero=True).holds(value)
    assert not limit(zero=False).holds(value)


def test_an_unknown_key_is_told_with_the_nearest_or_all() -> None:
    assert unknown_key("a.", "seeed", ["seed", "lr"]) == "`a.seeed`: unknown key. Did you mean `seed`?"
    assert unknown_key("", "qqq", ["seed", "lr"]) == "`qqq`: unknown key. Known keys: seed, lr."


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"min_epoch": 1}, "`extra.min_epoch`: unknown key. Did you mean `min_epochs`"),
        ({"max_epochs": 1}, "`max_epochs` has a field of its own. Write max_epochs=1 beside"),
    ],
)
def test_extra_is_checked_against_lightnings_signature(extra: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TrainerConfig(extra=extra)
