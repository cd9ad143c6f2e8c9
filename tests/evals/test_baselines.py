"""Baselines: what they return, and that they learn what there is to learn."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from astro_jax.errors import UserError
from astro_jax.evals.baselines import (
    forest_regressor,
    line_through,
    majority_class,
    random_forest,
)


def make_rows(per_class, features=12, seed=0):
    """Return rows whose first two features tell three classes apart, nearly."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(per_class)), per_class)
    x = rng.normal(size=(len(codes), features))
    x[:, 0] += 3 * (codes == 1)
    x[:, 1] += 3 * (codes == 2)
    return x, codes


def test_random_forest_learns_from_few_rows():
    train, codes = make_rows((20, 20, 20))
    query, true = make_rows((100, 100, 100), seed=1)
    p = random_forest(train, codes, query, 3, seed=0, trees=60)
    assert p.shape == (300, 3)
    np.testing.assert_allclose(p.sum(1), 1)
    assert f1_score(true, p.argmax(1), average="macro") > 0.8


def test_random_forest_is_a_function_of_its_seed():
    train, codes = make_rows((15, 15, 15))
    query, _ = make_rows((20, 20, 20), seed=1)
    runs = [random_forest(train, codes, query, 3, seed, 30) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0] - runs[2]).max() > 0


def test_columns_follow_the_class_numbers_where_a_class_is_missing():
    train, codes = make_rows((15, 15, 15))
    p = random_forest(train, 2 * codes, train, 6, seed=0, trees=30)
    assert p.shape == (45, 6)
    assert not p[:, [1, 3, 5]].any()
    assert (p.argmax(1) == 2 * codes).mean() > 0.95


def test_rare_classes_weigh_more_than_their_share():
    rng = np.random.default_rng(0)
    train, codes = rng.normal(size=(1650, 3)), np.repeat([0, 1], (1500, 150))
    p = random_forest(train, codes, rng.normal(size=(100, 3)), 2, seed=0, trees=40)
    assert p[:, 1].mean() > 1.35 * 150 / 1650  # 1.6; without weights 1.0


def test_majority_class_is_the_share_of_each():
    p = majority_class(np.array([1, 1, 1, 3]), 5, 5)
    np.testing.assert_allclose(p, np.tile([0, 0.75, 0, 0.25, 0], (5, 1)))


def test_forest_regressor_and_line():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 3, (500, 4))
    y = 2 * x[:, 0] + 1
    query = rng.uniform(-0.8, 2.8, (100, 4))
    true = 2 * query[:, 0] + 1
    assert np.abs(forest_regressor(x, y, query, 0, 60) - true).mean() < 0.4
    y[::7] += 3  # one of seven is far off
    np.testing.assert_allclose(line_through(x[:, 0], y, query[:, 0]), true, atol=1e-6)


def test_rows_that_cannot_be_learnt_from_are_named():
    train, codes = make_rows((5, 5, 5))
    with pytest.raises(UserError, match="14 rows of features for 15 labels"):
        random_forest(train[1:], codes, train, 3, 0)
    with pytest.raises(UserError, match="0 rows"):
        forest_regressor(train[:0], codes[:0], train, 0)
    train[7, 3] = np.nan
    with pytest.raises(UserError, match="row 7"):
        random_forest(train, codes, train, 3, 0)
