"""Mean spectra are those of all valid pixels of each class."""

import numpy as np
import pytest

from cuvis_ai.functional.affine import pixels_of
from tests.recorded_run import WAVELENGTHS, batches, drawn


@pytest.mark.parametrize("invalid", [False, True])
def test_spectra_are_means_and_deviations_of_each_class(graph, invalid):
    seen = batches(invalid=invalid)
    pixels = np.concatenate([pixels_of(batch["cube"]).double().numpy() for batch in seen])
    truth = np.concatenate([batch["mask"].flatten().numpy() for batch in seen])
    valid = np.ones(len(truth), dtype=bool)
    if invalid:
        valid = np.concatenate([batch["valid"].flatten().numpy() for batch in seen])
    got = drawn(graph, seen)["spectra"]
    for name, chosen in (("normal", ~truth & valid), ("anomalous", truth & valid)):
        np.testing.assert_allclose(got[f"{name}_mean"], pixels[chosen].mean(0), rtol=1e-6)
        np.testing.assert_allclose(got[f"{name}_std"], pixels[chosen].std(0), rtol=1e-6)
    np.testing.assert_array_equal(got["wavelengths"], WAVELENGTHS)
