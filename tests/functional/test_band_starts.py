"""Logits of a start, and temperatures."""

import pytest
import torch

from cuvis_ai.functional.band_starts import annealed, band_of, starting_logits

NM = torch.tensor([400.0, 500.0, 600.0, 700.0]).double()


def test_chosen_bands_start_at_2_and_the_ramp_is_below_a_tenth() -> None:
    logits = starting_logits([2, 0], NM, {}, in_nm=True)
    assert logits.tolist() == pytest.approx([2 - 0.025, -0.05, 2, -0.075])


def test_a_prior_is_added_by_number_or_wavelength() -> None:
    plain = starting_logits([2, 0], NM, {}, in_nm=True)
    boosted = starting_logits([2, 0], NM, {"1": 3.0, "690.0": 0.5, "510": 1.0}, in_nm=True)
    assert (boosted - plain).tolist() == pytest.approx([0, 4, 0, 0.5])


@pytest.mark.parametrize(("key", "in_nm"), [("9", False), ("1200.0", True), ("red", True), ("500.0", False)])
def test_a_prior_of_no_band_is_refused(key: str, in_nm: bool) -> None:
    with pytest.raises(ValueError, match=r"no band|could not convert"):
        band_of(key, NM, in_nm=in_nm)


def test_temperatures() -> None:
    assert [annealed(e, 5.0, 0.1, 0.9) for e in (0, 1, 19)] == pytest.approx([5, 4.5, 0.675], abs=1e-3)
    assert annealed(100, 5.0, 0.1, 0.9) == 0.1
    assert [annealed(e, 1.0, 0.01, None, 10) for e in (0, 3, 6, 9)] == pytest.approx([1, 0.1, 0.01, 0.01])
    with pytest.raises(ValueError, match="max_epochs"):
        annealed(3, 5.0, 0.1)
