"""Scores of classes: against scikit-learn, the bootstrap over objects, pooling of windows."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from astro_jax.errors import UserError
from astro_jax.evals.classification import (
    over_seeds,
    pool_windows,
    reliability,
    scores,
    summary,
    vote_windows,
)


def make_predictions(objects=300, classes=4, skill=2.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, objects)
    logits = rng.normal(size=(objects, classes)) + skill * np.eye(classes)[labels]
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True), labels


NAMES = ["a", "b", "c", "d"]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(2, 6), st.integers(0, 10**6))
def test_scores_are_those_of_scikit_learn(objects, classes, seed):
    p, labels = make_predictions(objects, classes, seed=seed)
    result = scores(p, labels, [str(k) for k in range(classes)])
    predicted, every = p.argmax(1), list(range(classes))
    np.testing.assert_array_equal(
        result.confusion, confusion_matrix(labels, predicted, labels=every)
    )
    expected = precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    for got, wanted in zip((result.precision, result.recall, result.f1), expected, strict=False):
        np.testing.assert_allclose(got, wanted)
    assert result.accuracy == pytest.approx(accuracy_score(labels, predicted))
    there = sorted(set(labels.tolist()))
    macro = f1_score(labels, predicted, labels=there, average="macro", zero_division=0)
    assert result.macro_f1 == pytest.approx(macro)


def test_intervals_are_those_of_drawing_objects():
    p, labels = make_predictions(200)
    result = scores(p, labels, NAMES)
    rng = np.random.default_rng(5)
    draws = []
    for _ in range(600):
        rows = rng.integers(0, 200, 200)
        draws.append(f1_score(labels[rows], p[rows].argmax(1), average="macro"))
    np.testing.assert_allclose(
        result.intervals["macro_f1"], np.percentile(draws, [2.5, 97.5]), atol=0.012
    )
    low, high = result.intervals["f1"].T
    assert (low < result.f1).all()
    assert (high > result.f1).all()


def test_intervals_narrow_with_more_objects_and_depend_on_the_seed_alone():
    widths = []
    for objects in (100, 1600):
        p, labels = make_predictions(objects)
        widths.append(np.diff(scores(p, labels, NAMES).intervals["macro_f1"])[0])
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.3)
    one, same = (scores(p, labels, NAMES, seed=3).intervals["f1"] for _ in range(2))
    np.testing.assert_array_equal(one, same)


def test_a_class_without_objects_does_not_count_in_the_mean():
    p = np.eye(3)[[0, 1, 0, 1]]
    result = scores(p, np.array([0, 1, 0, 1]), ["a", "b", "none"])
    assert result.macro_f1 == 1.0
    assert result.f1[2] == 0.0


def test_calibration_of_calibrated_and_overconfident_predictions():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 20_000)
    right = rng.random(20_000) < confidence
    p = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.where(right, 0, 1)
    calibrated = reliability(p, labels)
    assert calibrated.error < 0.02
    assert calibrated.count.sum() == 20_000
    assert calibrated.count[:5].sum() == 0
    np.testing.assert_allclose(calibrated.accuracy[5:], calibrated.confidence[5:], atol=0.04)
    sure = np.where(p > 0.5, 0.999, 0.001)
    assert reliability(sure, labels).error == pytest.approx(0.999 - right.mean(), abs=0.01)


def test_calibration_error_by_hand():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.65, 0.35], [0.3, 0.7]])
    # 0.9: one of two right; 0.65 and 0.7 share a bin: one of two right
    assert reliability(p, np.array([0, 1, 0, 0])).error == pytest.approx(
        (2 * 0.4 + 2 * (0.675 - 0.5)) / 4
    )


def test_summary_is_json():
    p, labels = make_predictions()
    text = json.loads(json.dumps(summary(scores(p, labels, NAMES))))
    assert text["objects"] == 300
    assert list(text["classes"]) == NAMES
    assert sum(c["objects"] for c in text["classes"].values()) == 300
    low, high = text["macro_f1_interval"]
    assert low < text["macro_f1"] < high


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.ones((3, 2)), [0, 1], r"\(3, 2\) do not fit 2 labels"),
        (np.ones((0, 4)), [], "no object"),
        (np.ones((2, 4)), [0, -1], "from -1 to 0"),
        (np.ones((2, 4)), [0, 4], "from 0 to 4"),
        (np.array([[1.0, 0, 0, 0], [np.nan, 0, 0, 1]]), [0, 1], "row 1"),
    ],
)
def test_what_does_not_fit_is_named(probabilities, labels, message):
    with pytest.raises(UserError, match=message):
        scores(probabilities, np.array(labels, int), NAMES)


# Windows


def test_pooling_is_the_mean_of_the_windows_of_each_object():
    p, _ = make_predictions(7, 3)
    curve = np.array([2, 0, 2, 1, 0, 2, 1])
    pooled = pool_windows(p, curve, 3)
    for k in range(3):
        np.testing.assert_allclose(pooled[k], p[curve == k].mean(0))
    order = np.random.default_rng(0).permutation(7)
    np.testing.assert_allclose(pool_windows(p[order], curve[order], 3), pooled)


def test_votes_decide_by_number_and_ties_by_probability():
    p = np.array([[0.9, 0.1], [0.45, 0.55], [0.4, 0.6], [0.8, 0.2], [0.45, 0.55]])
    curve = np.array([0, 0, 0, 1, 1])
    votes = vote_windows(p, curve, 2)
    np.testing.assert_allclose(votes, [[1 / 3, 2 / 3], [0.5, 0.5]], atol=1e-5)
    assert votes.argmax(1).tolist() == [1, 0]
    assert pool_windows(p, curve, 2).argmax(1).tolist() == [0, 0]
    np.testing.assert_allclose(votes.sum(1), 1)


@pytest.mark.parametrize("curve", [[0, 0, 2], [0, 1, 3]])
def test_an_object_without_a_window_is_named(curve):
    with pytest.raises(UserError, match=r"object [13] of 3"):
        pool_windows(np.ones((3, 2)), np.array(curve), 3)


def test_interval_over_seeds():
    mean, low, high = over_seeds([0.80, 0.82, 0.81, 0.83, 0.84])
    assert mean == pytest.approx(0.82)
    assert high - mean == pytest.approx(2.776 * 0.015811 / np.sqrt(5), rel=1e-3)
    assert mean - low == pytest.approx(high - mean)
    assert np.isnan(over_seeds([0.8])[1])


def test_rows_of_a_star_are_drawn_together():
    probabilities, labels = make_predictions(200)
    alone = scores(probabilities, labels, list("abcd")).intervals["macro_f1"]
    names = np.array([f"star {k}" for k in range(200)])
    same = scores(probabilities, labels, list("abcd"), star=names).intervals["macro_f1"]
    np.testing.assert_array_equal(alone, same)
    twice = [np.repeat(x, 2, axis=0) for x in (probabilities, labels, names)]
    bands = scores(*twice[:2], list("abcd"), star=twice[2]).intervals["macro_f1"]
    np.testing.assert_allclose(bands, alone, atol=0.01)
    rows = scores(*twice[:2], list("abcd")).intervals["macro_f1"]
    assert np.diff(rows) < 0.8 * np.diff(bands)
