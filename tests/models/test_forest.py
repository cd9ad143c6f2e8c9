"""The forest as arrays gives what scikit-learn gives, and learns from inputs of both kinds."""

import jax
import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from astro_jax.errors import UserError
from astro_jax.models.forest import LEAF, SHARE, Forest, compression, grow, principal, survey_shift


def rows(per_class=40, seed=0):
    """Return features, vectors and codes: class 1 shows in the features, class 2 in the vectors."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(3), per_class)
    features, vectors = rng.normal(size=(len(codes), 5)), rng.normal(size=(len(codes), 60))
    features[:, 1] += 4 * (codes == 1)
    vectors += 3 * (codes == 2)[:, None] * np.random.default_rng(9).normal(size=60)
    return features.astype(np.float32), vectors.astype(np.float32), codes


def probabilities(grown, features, vectors):
    sizes, params = grown
    arrays = {"features": features, "vector": vectors}
    output = Forest(**sizes).apply({"params": params}, {}, arrays, None)
    return np.exp(np.asarray(output["logits"]))


def test_the_arrays_are_the_forests_of_scikit_learn():
    features, vectors, codes = rows()
    sizes, params = grow(features, vectors, codes, 3, seed=1, trees=30)
    small = compression(vectors)
    z = (vectors - small["center"]) / small["spread"] @ small["components"].T
    x = np.concatenate([features, z], 1).astype(np.float32)
    told = {"max_features": SHARE, "min_weight_fraction_leaf": LEAF, "random_state": 1}
    both = (
        ExtraTreesClassifier(15, class_weight="balanced", **told),
        RandomForestClassifier(15, class_weight="balanced_subsample", **told),
    )
    theirs = np.mean([forest.fit(x, codes).predict_proba(x) for forest in both], axis=0)
    ours = probabilities((sizes, params), features, vectors)
    assert sizes["depth"] > 2
    np.testing.assert_allclose(ours, np.maximum(theirs, 1e-6), atol=2e-6)


def test_it_learns_from_features_and_vectors():
    grown = grow(*rows(20), 3, trees=60)
    features, vectors, codes = rows(100, seed=1)
    assert (probabilities(grown, features, vectors).argmax(1) == codes).mean() > 0.9
    nothing = np.zeros_like(vectors) + vectors.mean(0)
    right = probabilities(grown, features, nothing).argmax(1) == codes
    assert right[codes == 1].mean() > 0.8 and right[codes == 2].mean() < 0.5


def test_compression_whitens():
    _, vectors, _ = rows()
    small = compression(vectors)
    z = (vectors - small["center"]) / small["spread"] @ small["components"].T
    np.testing.assert_allclose(np.cov(z.T), np.eye(z.shape[1]), atol=1e-4)
    few = compression(np.ones((3, 7), np.float32))
    assert all(np.isfinite(value).all() for value in few.values())


def test_each_block_of_a_vector_has_components_of_its_own():
    _, vectors, _ = rows()
    blocks = {"means": 30, "periodic": 20, "frequency": 8, "count": 2}
    small = compression(vectors, blocks)
    kinds = np.repeat(np.arange(4), [30, 20, 8, 2])
    rows_ = np.repeat(np.arange(4), [24, 6, 8, 2])
    assert small["components"].shape == (40, 60)
    assert not small["components"][rows_[:, None] != kinds].any()
    z = (vectors - small["center"]) / small["spread"]
    ours = z @ small["components"].T
    np.testing.assert_allclose(ours[:, 30:], z[:, 50:], atol=1e-6)  # as they are
    for k, size in enumerate((24, 6)):
        np.testing.assert_allclose(np.cov(ours[:, rows_ == k].T), np.eye(size), atol=1e-4)
    with pytest.raises(ValueError, match="60 numbers in blocks"):
        compression(vectors, {"means": 30})


def test_a_value_on_a_threshold_goes_left():
    features = np.array([[0.1], [0.1], [0.3], [0.3]], np.float32).repeat(6, 0)
    codes = np.repeat([0, 0, 1, 1], 6)
    sizes, params = grow(features, np.zeros((24, 3), np.float32), codes, 2, trees=5)
    edge = np.float32(params["threshold"][0, 0])
    one = probabilities((sizes, params), np.array([[edge]]), np.zeros((1, 3)))
    assert one[0, 0] >= 0.2  # at least the first tree says left, which is class 0


def test_columns_follow_the_class_numbers_where_a_class_is_missing():
    features, vectors, codes = rows()
    p = probabilities(grow(features, vectors, 2 * codes, 6, trees=20), features, vectors)
    assert p.shape == (120, 6) and (p[:, [1, 3, 5]] <= 1e-6).all()


def test_the_same_seed_grows_the_same_forest_and_init_has_its_shapes():
    sizes, params = grow(*rows(), 3, seed=3, trees=10)
    _, again = grow(*rows(), 3, seed=3, trees=10)
    assert all(np.array_equal(params[name], again[name]) for name in params)
    arrays = {"features": np.zeros((1, 5)), "vector": np.zeros((1, 60))}
    fresh = Forest(**sizes).init(jax.random.key(0), {}, arrays, None)["params"]
    assert {k: (v.shape, v.dtype) for k, v in fresh.items()} == {
        k: (v.shape, v.dtype) for k, v in params.items()
    }


def test_missing_inputs_are_named():
    sizes, params = grow(*rows(), 3, trees=3)
    with pytest.raises(UserError, match="inputs.*with vector"):
        Forest(**sizes).apply({"params": params}, {}, {"features": np.zeros((1, 5))}, None)


@pytest.mark.parametrize("shape", [(40, 15), (40, 60), (12, 60)])
def test_principal_vectors_are_those_of_the_singular_value_decomposition(shape):
    z = np.random.default_rng(3).normal(size=shape) @ np.diag(np.geomspace(1, 0.05, shape[1]))
    size, axes = principal(z, 24)
    _, theirs, right = np.linalg.svd(z, full_matrices=False)
    np.testing.assert_allclose(size, theirs[: len(size)], rtol=1e-6)
    assert len(size) == min(24, *shape)
    np.testing.assert_allclose(np.abs((axes * right[: len(size)]).sum(1)), 1, rtol=1e-6)
    assert (np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1) > 0).all()
    flat = principal(np.zeros(shape), 24)
    assert not flat[0].any() and not flat[1].any()


def test_the_shift_tells_how_common_classes_are():
    sure = np.eye(3, dtype=np.float32)[np.repeat(np.arange(3), [90, 9, 1])]
    shift = survey_shift(sure, np.array([0, 1, 2, 2]), others=1000)
    share = np.array([901, 91, 12]) / 1004
    expected = 0.3 * np.log(share)
    np.testing.assert_allclose(shift, expected - expected.mean(), rtol=1e-6)
    even = survey_shift(np.full((7, 4), 0.25, np.float32), np.arange(4), others=70)
    np.testing.assert_allclose(even, 0, atol=1e-7)


def test_the_shift_is_added_to_the_logits():
    features, vectors, codes = rows(20)
    sizes, params = grow(features, vectors, codes, 3, trees=10)
    plain = probabilities((sizes, params), features, vectors)
    params["shift"] = np.log(np.array([2.0, 1.0, 0.5], np.float32))
    shifted = probabilities((sizes, params), features, vectors)
    np.testing.assert_allclose(shifted, plain * [2.0, 1.0, 0.5], rtol=1e-5)
