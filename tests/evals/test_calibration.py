"""Temperatures, and how unlike the training objects an object is."""

import numpy as np
import pytest

from astro_jax.evals.calibration import fit_temperature, log_softmax, softmax
from astro_jax.evals.outliers import describe_latents, distance, from_plain, outlier_score

RNG = np.random.default_rng(0)


def drawn(count, sharpness):
    """Return logits that are `sharpness` times too sharp, and labels drawn from the true ones."""
    true = RNG.normal(size=(count, 3)) * 2
    p = softmax(true)
    labels = (p.cumsum(1) > RNG.random((count, 1))).argmax(1)
    return sharpness * true, labels


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_is_too_sharp(sharpness):
    logits, labels = drawn(4000, sharpness)
    assert fit_temperature(logits, labels) == pytest.approx(sharpness, rel=0.1)


def test_few_objects_move_it_little():
    logits = np.array([[3.0, 0.0], [0.0, 3.0], [2.0, 0.0]])
    assert 0.3 < fit_temperature(logits, np.array([0, 1, 0])) < 1
    assert fit_temperature(logits, np.array([0, 1, 0]), width=100.0) < 0.25


def test_without_labels_it_is_one():
    assert fit_temperature(np.ones((2, 2)), np.array([-1, -1])) == 1.0


def test_softmax():
    logits = np.array([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(softmax(logits), [[1, 0, 0], [1 / 3] * 3])
    assert np.isfinite(log_softmax(logits)).all()
    np.testing.assert_allclose(softmax(logits[:1] / 1e4, 0.5), softmax(logits[:1] / 5e3))


# Outliers

LABELS = np.repeat([0, 1], 150)
CENTRES = np.array([[4.0, 0, 0, 0, 0], [0, 4.0, 0, 0, 0]])
SCALE = np.array([1.0, 0.5, 2.0, 1.0, 0.1])
LATENTS = CENTRES[LABELS] + RNG.normal(size=(300, 5)) * SCALE


def test_the_distance_is_that_of_mahalanobis():
    described = describe_latents(LATENTS, LABELS)
    inside = np.concatenate([LATENTS[k == LABELS] - LATENTS[k == LABELS].mean(0) for k in (0, 1)])
    inverse = np.linalg.inv(inside.T @ inside / 298)
    delta = LATENTS[:, None] - np.stack([LATENTS[k == LABELS].mean(0) for k in (0, 1)])
    expected = np.sqrt(np.einsum("nci,ij,ncj->nc", delta, inverse, delta)).min(1)
    np.testing.assert_allclose(distance(described, LATENTS), expected, rtol=1e-6)


def test_known_objects_fill_the_unit_interval_and_others_lie_beyond():
    described = describe_latents(LATENTS, LABELS)
    known = outlier_score(described, LATENTS)
    assert known.min() >= 0 and known.max() <= 1 and abs(np.median(known) - 0.5) < 0.02
    far = outlier_score(described, np.array([[20.0, 20, 0, 0, 0], [40.0, 40, 0, 0, 0]]))
    assert (far > 1).all() and far[1] > far[0]


def test_few_objects_in_many_dimensions_stay_finite():
    few = RNG.normal(size=(9, 100)) * (np.arange(100) < 30)
    described = describe_latents(few, np.arange(9) % 3)
    assert np.isfinite(outlier_score(described, few)).all() and len(described.project) == 2


def test_it_survives_json():
    import json

    described = describe_latents(LATENTS, LABELS, others=LATENTS[:50])
    again = from_plain(json.loads(json.dumps(described._asdict())))
    np.testing.assert_array_equal(outlier_score(again, LATENTS), outlier_score(described, LATENTS))
