"""AUROC against scikit-learn, its bootstrap, and the calibration error by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from astro_jax.errors import UserError
from astro_jax.evals.auroc import (
    areas,
    aurocs,
    calibration_error,
    macro_auroc,
    resample,
    summary,
)

RNG = np.random.default_rng(0)
LABELS = RNG.permutation(np.repeat([0, 1, 2], [50, 20, 7]))
SCORES = RNG.random((77, 3)) + 0.5 * np.eye(3)[LABELS]
P = np.round(SCORES / SCORES.sum(1, keepdims=True), 2)  # rounded: there are ties


def test_against_scikit_learn():
    result = aurocs(P, LABELS, list("abc"))
    expected = [roc_auc_score(c == LABELS, P[:, c]) for c in range(3)]
    np.testing.assert_allclose(result.each, expected)
    assert result.macro == pytest.approx(np.mean(expected))
    assert macro_auroc(P, LABELS) == result.macro
    truth = np.eye(3)[LABELS]
    assert result.micro == pytest.approx(roc_auc_score(truth.ravel(), P.ravel()))
    assert result.count.tolist() == [50, 20, 7]


def test_weights_are_repeated_objects():
    weight = resample(LABELS, 3, np.random.default_rng(1))
    each, micro = areas(P, LABELS, weight)
    for d in range(3):
        rows = np.repeat(np.arange(77), weight[d].astype(int))
        again, again_micro = areas(P[rows], LABELS[rows])
        np.testing.assert_allclose(each[d], again[0])
        assert micro[d] == pytest.approx(again_micro[0])


def test_the_bootstrap_draws_within_classes():
    weight = resample(LABELS, 50, np.random.default_rng(1))
    for code, count in enumerate((50, 20, 7)):
        assert (weight[:, code == LABELS].sum(1) == count).all()
    low, high = aurocs(P, LABELS, list("abc")).intervals["macro"]
    assert low < aurocs(P, LABELS, list("abc")).macro < high and 0.02 < high - low < 0.3


def test_a_class_without_objects_is_not_known_and_does_not_count():
    some = LABELS < 2
    result = aurocs(P[some], LABELS[some], list("abc"))
    assert np.isnan(result.each[2]) and result.macro == pytest.approx(result.each[:2].mean())
    assert summary(result)["classes"]["c"] == {"objects": 0, "auroc": None}
    assert np.isnan(macro_auroc(P[LABELS == 0], LABELS[LABELS == 0]))


def test_constant_scores_are_one_half():
    assert aurocs(np.full((77, 3), 1 / 3), LABELS, list("abc")).macro == 0.5


def test_shapes_must_fit():
    with pytest.raises(UserError, match="do not fit"):
        aurocs(P[:, :2], LABELS, list("abc"))


def test_calibration_error_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.55, 0.45], [0.4, 0.6]])
    labels = np.array([0, 1, 0, 1])
    # bins of 1/15: 0.9 (half right), 0.55 (right), 0.6 (right); 0.6 is the edge of the bin below
    expected = (abs(1 - 1.8) + abs(2 - 1.15)) / 4
    assert calibration_error(probabilities, labels) == pytest.approx(expected)
    assert calibration_error(np.eye(2)[labels], labels) == 0.0
