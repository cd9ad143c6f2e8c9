"""Search among unit vectors: nearest neighbours, across modalities, in contrast, by class.

Vectors are [N, D] of length 1, NaN where an object lacks the modality; such rows are never found
and find nothing.
"""

from collections.abc import Mapping
from functools import partial
from itertools import permutations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

AT_ONCE = 1024  # queries: their cosines with a million objects take 4 GB


class Hits(NamedTuple):
    """For Q queries the k best: row [Q, k] int64 (-1: none), cosine [Q, k] float32 (NaN: none)."""

    row: np.ndarray
    cosine: np.ndarray


def search(
    queries: np.ndarray, base: np.ndarray, k: int = 10, own: np.ndarray | None = None
) -> Hits:
    """Return the k base vectors of largest cosine for each query, exactly.

    queries: [Q, D], base: [N, D]; own: [Q] rows of the base that are not to be found, the query
    itself; across modalities queries and base are vectors of two.
    """
    k = min(k, len(base))
    own = np.full(len(queries), -1) if own is None else np.asarray(own)
    rows, cosines = [], []
    ready = jnp.asarray(base, jnp.float32)
    for first in range(0, len(queries), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        cosine, row = _top(jnp.asarray(queries[part], jnp.float32), ready, own[part], k)
        rows.append(np.asarray(row, np.int64))
        cosines.append(np.asarray(cosine))
    if not rows:
        return Hits(np.zeros((0, k), np.int64), np.zeros((0, k), np.float32))
    cosine = np.concatenate(cosines)
    found = np.isfinite(cosine)
    return Hits(np.where(found, np.concatenate(rows), -1), np.where(found, cosine, np.nan))


@partial(jax.jit, static_argnums=3)
def _top(queries: jax.Array, base: jax.Array, own: jax.Array, k: int) -> tuple:
    cosine = queries @ base.T
    cosine = jnp.where(jnp.isnan(cosine), -jnp.inf, cosine)
    cosine = jnp.where(jnp.arange(len(base))[None] == own[:, None], -jnp.inf, cosine)
    return jax.lax.top_k(cosine, k)


def contrast_search(
    query: int, near: np.ndarray, far: np.ndarray, k: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the k nearest objects in one modality, ordered by how unlike they are in another.

    query: a row; near, far: [N, D] vectors of the two modalities of the same objects
    Returns rows [k], least similar in `far` first, and the cosines in `near` and `far`, [k] each;
    an object that lacks `far` stands last with NaN.
    """
    hits = search(near[query : query + 1], near, k, own=np.array([query]))
    rows = hits.row[0][hits.row[0] >= 0]
    other = far[rows] @ far[query]
    order = np.argsort(np.where(np.isnan(other), np.inf, other), kind="stable")
    rows = rows[order]
    return rows, near[rows] @ near[query], other[order]


def matching(vectors: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return how well each modality finds the same object in each other one.

    {"a to b": top 1, top 10 (shares of the objects that have both), median rank from 1}
    """
    told = {}
    for a, b in permutations(sorted(vectors), 2):
        both = np.isfinite(vectors[a]).all(1) & np.isfinite(vectors[b]).all(1)
        if not both.any():
            continue
        cosine = vectors[a][both] @ vectors[b][both].T
        rank = 1 + (cosine > np.diag(cosine)[:, None]).sum(1)
        told[f"{a} to {b}"] = {
            "objects": int(both.sum()),
            "top 1": float((rank <= 1).mean()),
            "top 10": float((rank <= 10).mean()),
            "median rank": float(np.median(rank)),
        }
    return told


def centroids(vectors: np.ndarray, codes: np.ndarray, classes: int) -> np.ndarray:
    """Return the mean vector of each class, scaled to length 1, [C, D]; NaN where it has none.

    codes: [N] class numbers, negative = none
    """
    means = np.full((classes, vectors.shape[1]), np.nan, np.float32)
    for c in range(classes):
        members = (codes == c) & np.isfinite(vectors).all(1)
        if members.any():
            mean = vectors[members].mean(0)
            means[c] = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return means


def nearest_centroid(vectors: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the class of the nearest centroid of each vector, [N] int64; -1 without a vector."""
    cosine = vectors @ means.T
    known = np.isfinite(vectors).all(1)
    best = np.argmax(np.where(np.isnan(cosine), -np.inf, cosine), axis=1)
    return np.where(known, best, -1)


def centroid_accuracy(
    train: np.ndarray,
    train_codes: np.ndarray,
    test: np.ndarray,
    test_codes: np.ndarray,
    classes: int,
) -> float:
    """Return the share of test objects whose nearest class centroid is their own."""
    found = nearest_centroid(test, centroids(train, train_codes, classes))
    known = (test_codes >= 0) & (found >= 0)
    return float((found == test_codes)[known].mean()) if known.any() else float("nan")


def nearest_accuracy(
    train: np.ndarray, train_codes: np.ndarray, test: np.ndarray, test_codes: np.ndarray
) -> float:
    """Return the share of test objects whose nearest training object has their class."""
    labelled = train_codes >= 0
    hits = search(test, train[labelled], 1)
    known = (test_codes >= 0) & (hits.row[:, 0] >= 0)
    right = train_codes[labelled][hits.row[:, 0]] == test_codes
    return float(right[known].mean()) if known.any() else float("nan")
