"""Search, outliers, maps and clusters on vectors whose answer is known."""

import numpy as np
import pytest

from astro_jax.evals.retrieval import (
    centroid_accuracy,
    centroids,
    contrast_search,
    matching,
    nearest_accuracy,
    nearest_centroid,
    search,
)
from astro_jax.evals.space import (
    agreement,
    centroid_outliers,
    dense_regions,
    doubtful_labels,
    fused,
    one_cluster,
    pca_maps,
    precision_recall,
    projected,
    rand_index,
    sub_clusters,
)

CLASSES, EACH, D = 3, 40, 12


def clusters(seed=0, noise=0.15):
    """Return unit vectors around three directions, and their class numbers."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(CLASSES), EACH)
    vectors = np.eye(D)[codes] + noise * rng.standard_normal((len(codes), D))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), codes


def missing(vectors, rows):
    changed = vectors.copy()
    changed[rows] = np.nan
    return changed


# Search


def test_search_is_a_sort_by_cosine():
    vectors, _ = clusters()
    hits = search(vectors[:5], vectors, 7)
    cosine = vectors[:5] @ vectors.T
    np.testing.assert_array_equal(hits.row, np.argsort(-cosine, axis=1)[:, :7])
    np.testing.assert_allclose(hits.cosine, -np.sort(-cosine, axis=1)[:, :7], rtol=1e-5)
    assert (hits.row[:, 0] == np.arange(5)).all()


def test_a_query_is_not_its_own_hit_and_what_is_missing_is_never_found():
    vectors, _ = clusters()
    base = missing(vectors, [3, 8])
    hits = search(base[:10], base, 20, own=np.arange(10))
    assert not (hits.row == np.arange(10)[:, None]).any() and not np.isin(hits.row, [3, 8]).any()
    assert (hits.row[3] == -1).all() and np.isnan(hits.cosine[3]).all()
    few = search(base[:2], base[:4], 9, own=np.arange(2))
    assert few.row.shape == (2, 4) and (few.row[:, -2:] == -1).all()


def test_contrast_orders_the_near_by_how_unlike_they_are():
    near, _ = clusters()
    far = np.random.default_rng(1).standard_normal(near.shape)
    far /= np.linalg.norm(far, axis=1, keepdims=True)
    rows, close, other = contrast_search(4, near, far, k=6)
    assert set(rows) == set(search(near[4:5], near, 6, own=np.array([4])).row[0])
    assert (np.diff(other) >= 0).all() and 4 not in rows
    np.testing.assert_allclose(close, near[rows] @ near[4], rtol=1e-5)
    last, _, cosines = contrast_search(4, near, missing(far, [rows[0]]), k=6)
    assert last[-1] == rows[0] and np.isnan(cosines[-1])


def test_matching_across_modalities():
    vectors, _ = clusters(noise=0.4)
    rng = np.random.default_rng(2)
    told = matching({"a": vectors, "b": vectors, "c": missing(rng.permutation(vectors), [0])})
    assert told["a to b"] == {"objects": 120, "top 1": 1.0, "top 10": 1.0, "median rank": 1.0}
    assert told["a to c"]["objects"] == 119 and told["a to c"]["top 1"] < 0.1


def test_centroids_and_neighbours_tell_classes():
    vectors, codes = clusters()
    means = centroids(vectors, codes, CLASSES + 1)
    assert np.isnan(means[CLASSES]).all()
    assert (nearest_centroid(missing(vectors, [0]), means)[1:] == codes[1:]).all()
    assert nearest_centroid(missing(vectors, [0]), means)[0] == -1
    other, their = clusters(seed=1)
    assert centroid_accuracy(vectors, codes, other, their, CLASSES) == 1.0
    assert nearest_accuracy(vectors, np.where(codes == 0, -1, codes), other, their) < 0.7


# Outliers and doubtful labels


def test_outliers_are_far_from_their_own_centroid():
    vectors, codes = clusters()
    vectors[5] = np.eye(D)[9]
    distance, far = centroid_outliers(vectors, codes, CLASSES, percentile=97)
    assert distance[5] > 0.9 and far[5] and far.sum() <= 2 * CLASSES
    distance, far = centroid_outliers(missing(vectors, [7]), codes, CLASSES)
    assert np.isnan(distance[7]) and not far[7]
    assert agreement({"a": far, "b": far})[5] == 2


def test_wrong_labels_are_found_with_the_right_one():
    vectors, codes = clusters()
    wrong = codes.copy()
    wrong[[3, 50]] = [2, 0]
    found = doubtful_labels(vectors, wrong, CLASSES)
    assert set(found.row) == {3, 50}
    assert {int(r): int(s) for r, s in zip(found.row, found.suggested, strict=True)} == {
        3: 0,
        50: 1,
    }
    truth = codes != wrong
    assert precision_recall(np.isin(np.arange(len(codes)), found.row), truth) == (1.0, 1.0)
    assert not len(doubtful_labels(vectors, codes, CLASSES).row)


def test_one_cluster_remains_and_the_rest_are_outliers():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(0, 1, (100, 2)), [[30.0, 30.0], [-40.0, 2.0]]])
    found = one_cluster(points)
    assert found.label.max() == 0 and (found.label[-2:] == -1).all()
    assert (found.label[:100] == 0).mean() > 0.85 and found.eps > 0


def test_dense_regions_without_labels():
    vectors, codes = clusters(noise=0.05)
    lonely = np.concatenate([vectors, np.eye(D, dtype=np.float32)[[9]], vectors[:1] * np.nan])
    found = dense_regions(lonely)
    assert (found.label[-2:] == -1).all()
    assert rand_index(found.label[:-2], codes) > 0.9


# Maps and clusters


def test_maps_are_fitted_on_train_alone():
    vectors, codes = clusters()
    train, other = vectors[::2], vectors[1::2]
    ours, theirs = pca_maps(train, [other])
    again = pca_maps(train, [missing(other, [0])])[1]
    np.testing.assert_allclose(ours, pca_maps(train, [])[0])
    assert np.isnan(again[0]).all()
    np.testing.assert_allclose(again[1:], theirs[1:])
    middle = np.stack([ours[codes[::2] == c].mean(0) for c in range(CLASSES)])
    spread = max(ours[codes[::2] == c].std(0).max() for c in range(CLASSES))
    gaps = [np.linalg.norm(middle[i] - middle[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(gaps) > 3 * spread


def test_sub_clusters_of_a_class():
    vectors, codes = clusters()
    label = sub_clusters(missing(vectors, [0]), CLASSES)
    assert label[0] == -1 and rand_index(label, codes) == 1.0


def test_unseen_classes_are_projected():
    vectors, codes = clusters()
    means = centroids(vectors, codes, CLASSES)
    groups = ["new"] * EACH + ["other"] * EACH
    told = projected(vectors[: 2 * EACH], groups, means, ["x", "y", "z"])
    assert told == {"new": {"x": 1.0}, "other": {"y": 1.0}}


def test_fusion_takes_what_is_there():
    vectors, _ = clusters()
    mixed = fused({"a": missing(vectors, [0, 1]), "b": missing(vectors, [1])})
    np.testing.assert_allclose(mixed[0], vectors[0], rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(mixed[2:], axis=1), 1.0, rtol=1e-5)
    assert np.isnan(mixed[1]).all()


def test_umap_is_an_extra():
    from astro_jax.errors import UserError
    from astro_jax.evals.space import umap_maps

    try:
        import umap  # noqa: F401
    except ImportError:
        with pytest.raises(UserError, match="pip install"):
            umap_maps(clusters()[0], [])
    else:
        assert umap_maps(clusters()[0], [])[0].shape == (CLASSES * EACH, 2)
