"""The head's closed form is linear discriminant analysis of the joined branches."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from cuvis_ai.anomaly.branch_logit_head import BranchLogitHead
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.stats import MomentsByClass

RNG = np.random.default_rng(0)
TRUTH = RNG.random(500) < 0.06
SCORES = RNG.normal(size=(500, 4)) * [0.1, 3.0, 1.0, 20.0] + [0.2, -4.0, 0.0, 5.0]
SCORES[TRUTH] += [0.5, 4.0, 0.3, 0.0]


def fitted(head: BranchLogitHead, scores: np.ndarray = SCORES, truth: np.ndarray = TRUTH) -> BranchLogitHead:
    sketch = MomentsByClass()
    sketch.update(torch.from_numpy(scores), None, torch.from_numpy(truth))
    head.double().finalize(sketch)
    return head


def logits(head: BranchLogitHead, scores: np.ndarray = SCORES) -> np.ndarray:
    cube = torch.from_numpy(scores.T.copy())[None, :, :, None]
    return head(cube).detach().flatten().numpy()


def standardized(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.mean(0)) / scores.std(0, ddof=1)


def test_start_is_the_linear_discriminant_of_the_weighted_sum_with_equal_priors() -> None:
    joined = standardized(SCORES[:, :2]) @ [1.0, 0.5]
    m0, m1 = joined[~TRUTH].mean(), joined[TRUTH].mean()
    pooled = (((joined[~TRUTH] - m0) ** 2).sum() + ((joined[TRUTH] - m1) ** 2).sum()) / (len(joined) - 2)
    expected = (m1 - m0) / pooled * (joined - (m1 + m0) / 2)
    np.testing.assert_allclose(
        logits(fitted(BranchLogitHead(), SCORES[:, :2]), SCORES[:, :2]), expected, rtol=1e-9
    )
    # scikit-learn divides the pooled scatter by n, and adds the priors: those of the sample.
    peer = LinearDiscriminantAnalysis().fit(joined[:, None], TRUTH).decision_function(joined[:, None])
    n, n1 = len(joined), TRUTH.sum()
    np.testing.assert_allclose(expected * n / (n - 2) + np.log(n1 / (n - n1)), peer, rtol=1e-6)


def test_weights_are_those_given() -> None:
    joined = standardized(SCORES[:, :3]) @ [0.25, 2.0, -1.0]
    found = logits(fitted(BranchLogitHead([0.25, 2.0, -1.0]), SCORES[:, :3]), SCORES[:, :3])
    assert np.corrcoef(found, joined)[0, 1] == pytest.approx(1.0, abs=1e-12)


def test_further_features_start_without_weight_and_enter_as_a_third_of_their_deviation() -> None:
    head = fitted(BranchLogitHead())
    np.testing.assert_allclose(
        logits(head), logits(fitted(BranchLogitHead(), SCORES[:, :2]), SCORES[:, :2]), rtol=1e-9
    )
    before = logits(head)
    head.prepare_for_train()
    with torch.no_grad():
        head.feature_weights[3] = 1.0
    step = float(head.scale.detach()) * standardized(SCORES)[:, 3] / 3
    np.testing.assert_allclose(logits(head) - before, step, rtol=1e-9, atol=1e-9)


def test_drift_is_in_logits_per_standard_deviation() -> None:
    head = fitted(BranchLogitHead())
    np.testing.assert_allclose(head.drift(), 0.0, atol=1e-14)
    before, scale = head.coefficients().clone(), float(head.scale)
    head.prepare_for_train()
    with torch.no_grad():
        head.feature_weights += torch.tensor([0.0, 0.25, 0.0, 0.6], dtype=torch.float64)
        head.log_scale += np.log(2.0)
    expected = 2 * before + 2 * scale * torch.tensor([0.0, 0.25, 0.0, 0.2], dtype=torch.float64) - before
    np.testing.assert_allclose(head.drift().detach(), expected, rtol=1e-9)
    # One more deviation of a channel moves the logit by that channel's coefficient.
    moved = SCORES + SCORES.std(0, ddof=1) * [0, 0, 0, 1]
    np.testing.assert_allclose(
        logits(head, moved) - logits(head), float(head.coefficients()[3].detach()), rtol=1e-8
    )


def test_a_branch_that_does_not_vary_says_nothing() -> None:
    flat = SCORES[:, :2].copy()
    flat[:, 1] = 7.0
    alone = logits(fitted(BranchLogitHead([1.0]), flat[:, :1]), flat[:, :1])
    np.testing.assert_allclose(logits(fitted(BranchLogitHead(), flat), flat), alone, rtol=1e-9)


def test_classes_without_spread_have_a_finite_logit() -> None:
    perfect = np.where(TRUTH, 2.0, 1.0)[:, None]
    found = logits(fitted(BranchLogitHead([1.0]), perfect), perfect)
    assert np.isfinite(found).all()
    assert ((found > 0) == TRUTH).all()


def test_what_cannot_be_fitted_is_refused_by_name() -> None:
    head = BranchLogitHead()
    head.name = "joined"
    with pytest.raises(GraphError, match=r"BranchLogitHead `joined`: .*training masks, got no anomalous one"):
        fitted(head, truth=np.zeros(500, dtype=bool))
    with pytest.raises(GraphError, match=r"`joined`: expected anomalies that score higher on average"):
        fitted(head, -SCORES)
    with pytest.raises(GraphError, match=r"`joined`: expected 2 channels .* got 1"):
        fitted(head, SCORES[:, :1])
    with pytest.raises(ConfigError, match="weights: expected one or more numbers"):
        BranchLogitHead([])
