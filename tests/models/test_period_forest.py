"""The choice among candidate periods, as arrays, is what scikit-learn's trees say."""

import jax
import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from astro_jax.errors import UserError
from astro_jax.models.period_forest import (
    CLOSE,
    LEAF,
    MULTIPLES,
    SHARE,
    SURE,
    PeriodForest,
    bagged,
    candidate_rows,
    grow,
)

TREES = 20


def survey(stars=150, seed=0):
    """Return features, candidates and target of curves, two a star, and the stars.

    The best candidate is the target, or its half where feature 0 is above 1; of every tenth star
    there is no candidate, and of none a fourth.  Feature 1 tells the target roughly.
    """
    rng = np.random.default_rng(seed)
    star = np.repeat(np.arange(stars), 2)
    target = np.repeat(rng.uniform(-0.5, 2.5, stars), 2)
    double = np.repeat(rng.random(stars) < 0.3, 2)
    features = rng.normal(size=(len(star), 4)) * 0.3
    features[:, 0] += 2 * double
    features[:, 1] = target + 0.3 * rng.normal(size=len(star))
    log = np.column_stack([target - np.log10(2) * double, *rng.uniform(-0.5, 2.5, (3, len(star)))])
    power, significance = np.sort(rng.random((2, len(star), 4)), -1)[..., ::-1] * [
        [[1.0]],
        [[90.0]],
    ]
    found = np.tile(np.arange(4) < 3, (len(star), 1)) & (star % 10 > 0)[:, None]
    alias = rng.random(log.shape) < 0.2
    candidates = np.stack([log, power, significance, alias, found], -1) * found[..., None]
    arrays = (features, candidates, target)
    return (*(values.astype(np.float32) for values in arrays), star)


def told(grown, features, candidates):
    sizes, params = grown
    arrays = {"features": features, "candidates": candidates}
    output = PeriodForest(**sizes).apply({"params": params}, {}, arrays, None)
    return np.asarray(output["logits"], float)[:, 0], np.asarray(output["embedding"])


@pytest.fixture(scope="module")
def grown():
    return grow(*survey(), seed=3, trees=TREES)


def by_hand(features, candidates, guess):
    """Return the rows of the choice, the periods, and whether there is one, in plain numpy."""
    rows, periods, found = [], [], []
    for x, curve, g in zip(features, candidates.astype(float), guess, strict=True):
        for i, (log, power, significance, alias, there) in enumerate(curve):
            for m, multiple in enumerate(MULTIPLES):
                period = log + np.log10(multiple)
                ratio = power / max(curve[0, 1], 1e-6)
                evidence = (np.log1p(significance), significance - curve[0, 2], alias)
                own = (i, m, period, period - curve[0, 0], ratio, power, *evidence, period - g)
                rows.append([*x, *own])
                periods.append(period)
                found.append(there > 0)
    shape = (len(features), -1)
    return (
        np.array(rows).reshape(*shape, len(rows[0])),
        np.array(periods).reshape(shape),
        np.array(found).reshape(shape),
    )


def test_rows_hold_features_evidence_and_the_distance_from_the_guess():
    features, candidates, target, _ = survey(20)
    ours = candidate_rows(features, candidates, target[:, None])
    for array, other in zip(ours, by_hand(features, candidates, target), strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-5, atol=1e-6)
    assert ours[0].shape == (40, 12, 4 + 10)


def test_the_arrays_are_the_forests_of_scikit_learn(grown):
    features, candidates, target, star = survey()
    guesses, unseen = bagged(features, target, star, 3, TREES)
    rows, periods, found = (
        np.asarray(a)
        for a in candidate_rows(features, candidates, unseen[:, None].astype(np.float32))
    )
    right = np.abs(periods - target[:, None]) < CLOSE
    used = found & np.isfinite(unseen)[:, None]
    theirs = ExtraTreesClassifier(
        TREES, max_features=SHARE, min_samples_leaf=LEAF, random_state=3
    ).fit(rows[used], right[used])
    new_features, new_candidates, _, _ = survey(60, seed=1)
    guess = np.mean([tree.predict(new_features) for tree in guesses], axis=0)
    rows, periods, found = (
        np.asarray(a)
        for a in candidate_rows(new_features, new_candidates, guess[:, None].astype(np.float32))
    )
    likely = theirs.predict_proba(rows.reshape(-1, rows.shape[-1]))[:, 1].reshape(found.shape)
    likely = np.where(found, likely, 0)
    chosen = periods[np.arange(len(periods)), likely.argmax(1)]
    answer, embedding = told(grown, new_features, new_candidates)
    np.testing.assert_allclose(embedding, likely, atol=1e-6)
    sure = likely.max(1) > SURE
    assert 0.5 < sure.mean() < 1
    np.testing.assert_allclose(answer, np.where(sure, chosen, guess), atol=1e-6)
    never = ({**grown[0], "sure": 1.0}, grown[1])
    np.testing.assert_allclose(told(never, new_features, new_candidates)[0], guess, atol=1e-6)


def test_it_repairs_what_the_best_candidate_gets_wrong(grown):
    features, candidates, target, star = survey(100, seed=1)
    some = star % 10 > 0
    best = np.abs(candidates[:, 0, 0] - target)[some] < CLOSE
    answer, _ = told(grown, features, candidates)
    error = np.abs(answer - target)
    assert best.mean() < 0.8 < 0.95 < (error[some] < 1e-6).mean()  # float32 moves it by less
    assert not (error[~some] < 1e-6).any() and np.median(error[~some]) < 0.3  # the guess


def test_the_guess_of_a_star_is_of_trees_that_saw_none_of_its_curves():
    features, _, target, star = survey(30)
    unseen = bagged(features, target, star, 0, TREES)[1]
    mine = star == 7
    moved = bagged(features, target + 50.0 * mine, star, 0, TREES)[1]
    some = np.isfinite(unseen)
    assert some[mine].all() and some.mean() > 0.95
    # 50 away, which would show wherever it had been looked at
    np.testing.assert_allclose(moved[mine], unseen[mine], atol=2)
    assert np.abs(moved - unseen)[some & ~mine].max() > 2
    assert np.isnan(bagged(features, target, np.zeros(len(star)), 0, TREES)[1]).all()


def test_the_same_seed_grows_the_same_and_init_has_its_shapes(grown):
    sizes, params = grown
    again = grow(*survey(), seed=3, trees=TREES)[1]
    assert jax.tree.all(jax.tree.map(np.array_equal, params, again))
    arrays = {"features": np.zeros((1, 4)), "candidates": np.zeros((1, 4, 5))}
    fresh = PeriodForest(**sizes).init(jax.random.key(0), {}, arrays, None)["params"]
    kinds = [jax.tree.map(lambda a: (a.shape, a.dtype), tree) for tree in (fresh, params)]
    assert kinds[0] == kinds[1]


def test_what_cannot_be_is_an_error(grown):
    features, candidates, target, star = survey()
    with pytest.raises(UserError, match="log10 of a period in days.*without `period`"):
        grow(features, candidates, target + 5, star, trees=TREES)
    with pytest.raises(UserError, match="inputs.*with candidates"):
        sizes, params = grown
        PeriodForest(**sizes).apply({"params": params}, {}, {"features": features}, None)
