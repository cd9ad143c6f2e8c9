"""What lies where in a space of unit vectors: outliers, maps, clusters, likely wrong labels.

Vectors are [N, D] of length 1, NaN where an object lacks the modality; codes [N] are class numbers,
negative = none.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from astro_jax.errors import UserError
from astro_jax.evals.retrieval import centroids, nearest_centroid, search

SMALLEST = 5  # members of a dense region (DBSCAN's min_samples; Ester et al. 1996)


def fused(vectors: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the mean of the vectors that an object has, scaled to length 1, [N, D]."""
    stacked = np.stack([vectors[name] for name in sorted(vectors)])
    known = np.isfinite(stacked).all(-1, keepdims=True)
    total = np.where(known, stacked, 0.0).sum(0)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 0, total / np.maximum(length, 1e-12), np.nan)


def centroid_distances(vectors: np.ndarray, codes: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the cosine distance of each object to the centroid of its class, [N]; NaN without."""
    known = (codes >= 0) & np.isfinite(vectors).all(1)
    own = means[np.maximum(codes, 0)]
    return np.where(known, 1.0 - (vectors * own).sum(1), np.nan)


def centroid_outliers(
    vectors: np.ndarray, codes: np.ndarray, classes: int, percentile: float = 99.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance to the centroid of the own class [N], and which are outliers [N] bool.

    An outlier is farther than that percentile of its class.
    """
    distance = centroid_distances(vectors, codes, centroids(vectors, codes, classes))
    far = np.zeros(len(vectors), bool)
    for c in range(classes):
        members = (codes == c) & np.isfinite(distance)
        if members.any():
            far |= members & (distance > np.percentile(distance[members], percentile))
    return distance, far


def agreement(outliers: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return in how many modalities an object is an outlier, [N] int."""
    return np.sum([outliers[name] for name in sorted(outliers)], axis=0)


def pca_maps(train: np.ndarray, others: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return 2-D maps [N, 2] of train and others: principal components fitted on train."""
    from sklearn.decomposition import PCA

    known = np.isfinite(train).all(1)
    model = PCA(2, random_state=0).fit(train[known])
    return [_mapped(model.transform, part) for part in (train, *others)]


def umap_maps(train: np.ndarray, others: Sequence[np.ndarray], seed: int = 42) -> list[np.ndarray]:
    """Return what `pca_maps` does, by UMAP with 22 neighbours and cosines, as the authors did."""
    try:
        from umap import UMAP
    except ImportError as error:
        raise UserError(
            "config.map=umap needs UMAP: pip install -e '.[umap]'; or config.map=pca"
        ) from error
    known = np.isfinite(train).all(1)
    model = UMAP(n_neighbors=min(22, int(known.sum()) - 1), metric="cosine", random_state=seed)
    model.fit(train[known])
    return [_mapped(model.transform, part) for part in (train, *others)]


def _mapped(transform, vectors: np.ndarray) -> np.ndarray:
    points = np.full((len(vectors), 2), np.nan)
    known = np.isfinite(vectors).all(1)
    if known.any():
        points[known] = transform(vectors[known])
    return points


class Density(NamedTuple):
    """Clusters of N points: label [N] (-1: none), and the radius that was chosen."""

    label: np.ndarray
    eps: float


def one_cluster(points: np.ndarray, least: int = SMALLEST) -> Density:
    """Return DBSCAN with the smallest radius for which all dense points are one cluster.

    points: [N, 2], of one class on a map; what is left out are its outliers.  The radii tried are
    the percentiles 50 to 100 of the distance to the `least`-th neighbour.
    """
    from sklearn.cluster import DBSCAN

    if len(points) <= least:
        return Density(np.zeros(len(points), int), 0.0)
    for eps in np.percentile(_reach(points, least), np.arange(50, 100.5, 2.5)):
        label = DBSCAN(eps=max(float(eps), 1e-9), min_samples=least).fit_predict(points)
        if label.max() == 0 and (label == 0).mean() > 0.5:
            return Density(label, float(eps))
    return Density(np.zeros(len(points), int), float("inf"))


def dense_regions(vectors: np.ndarray, least: int = SMALLEST, percentile: float = 95.0) -> Density:
    """Return DBSCAN of vectors [N, D] without labels; NaN rows are in no cluster.

    The radius is that percentile of the distance to the `least`-th neighbour.
    """
    from sklearn.cluster import DBSCAN

    known = np.isfinite(vectors).all(1)
    label = np.full(len(vectors), -1)
    if known.sum() <= least:
        return Density(label, 0.0)
    eps = float(np.percentile(_reach(vectors[known], least), percentile))
    label[known] = DBSCAN(eps=max(eps, 1e-9), min_samples=least).fit_predict(vectors[known])
    return Density(label, eps)


def _reach(points: np.ndarray, least: int) -> np.ndarray:
    """Return the distance of each point to its `least`-th neighbour, [N]."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=least + 1).fit(points)
    return found.kneighbors(points)[0][:, -1]


class Suspects(NamedTuple):
    """Objects whose label is doubtful, the most doubtful first.

    row: [S]; suggested: [S] class numbers; share: [S] of the neighbours that have it; margin: [S]
    cosine to that class's centroid minus that to the own one
    """

    row: np.ndarray
    suggested: np.ndarray
    share: np.ndarray
    margin: np.ndarray


def doubtful_labels(
    vectors: np.ndarray, codes: np.ndarray, classes: int, k: int = 10, least: float = 0.5
) -> Suspects:
    """Return objects that lie among another class: candidates for a wrong label.

    At least a share `least` of the k nearest labelled neighbours, the object itself apart, has the
    same other class, whose centroid is nearer as well.
    """
    rows = np.flatnonzero((codes >= 0) & np.isfinite(vectors).all(1))
    hits = search(vectors[rows], vectors[rows], k, own=np.arange(len(rows)))
    around = np.where(hits.row >= 0, codes[rows][hits.row], -1)
    votes = np.stack([(around == c).mean(1) for c in range(classes)], axis=1)
    votes[np.arange(len(rows)), codes[rows]] = 0.0
    suggested = votes.argmax(1)
    means = centroids(vectors, codes, classes)
    cosine = vectors[rows] @ np.nan_to_num(means).T
    index = np.arange(len(rows))
    margin = cosine[index, suggested] - cosine[index, codes[rows]]
    share = votes.max(1)
    found = np.flatnonzero((share >= least) & (margin > 0))
    order = found[np.lexsort((-margin[found], -share[found]))]
    return Suspects(rows[order], suggested[order], share[order], margin[order])


def sub_clusters(vectors: np.ndarray, count: int = 2, seed: int = 0) -> np.ndarray:
    """Return the cluster of each vector of one class by k-means, [N] int; -1 without a vector."""
    from sklearn.cluster import KMeans

    label = np.full(len(vectors), -1)
    known = np.isfinite(vectors).all(1)
    if known.sum() >= count:
        label[known] = KMeans(count, n_init=10, random_state=seed).fit_predict(vectors[known])
    return label


def rand_index(label: np.ndarray, truth: Sequence) -> float:
    """Return the adjusted Rand index of clusters and true groups, over clustered objects."""
    from sklearn.metrics import adjusted_rand_score

    known = np.asarray(label) >= 0
    return float(adjusted_rand_score(np.asarray(truth)[known], np.asarray(label)[known]))


def projected(
    unseen: np.ndarray, groups: Sequence[str], means: np.ndarray, classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return for each group of unseen objects the share whose nearest class is which."""
    nearest, groups = nearest_centroid(unseen, means), np.asarray(groups)
    told = {}
    for group in sorted(set(groups)):
        found = nearest[(groups == group) & (nearest >= 0)]
        if len(found):
            counts = np.bincount(found, minlength=len(classes)) / len(found)
            told[str(group)] = {classes[c]: float(s) for c, s in enumerate(counts) if s}
    return told


def precision_recall(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the precision and the recall of a choice [N] bool against the truth [N] bool."""
    right = float((found & truth).sum())
    return right / max(float(found.sum()), 1.0), right / max(float(truth.sum()), 1.0)
