"""Approximate search among unit vectors, for bases too large to compare with one by one.

`evals.retrieval.search` is exact and the default; this needs the extra `ann` (faiss).
"""

from collections.abc import Callable

import numpy as np

from astro_jax.errors import UserError
from astro_jax.evals.retrieval import Hits

LINKS = 32  # neighbours of a node of the graph (M of Malkov & Yashunin 2018)
BUILD, VISIT = 200, 128  # candidates that are kept when a node is added, and when one searches


def index(base: np.ndarray, visit: int = VISIT) -> Callable[..., Hits]:
    """Return a search of the base vectors [N, D] that answers as `evals.retrieval.search` does.

    By a hierarchical small-world graph (Malkov & Yashunin 2018); a larger `visit` finds more of the
    true neighbours and takes longer.  The result takes (queries [Q, D], k, own [Q]).
    """
    try:
        import faiss
    except ImportError as error:
        raise UserError(
            "an approximate search needs faiss: pip install -e '.[ann]'; or search exactly"
        ) from error
    known = np.flatnonzero(np.isfinite(base).all(1))
    graph = faiss.IndexHNSWFlat(base.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = BUILD, visit
    graph.add(np.ascontiguousarray(base[known], np.float32))

    def find(queries: np.ndarray, k: int = 10, own: np.ndarray | None = None) -> Hits:
        own = np.full(len(queries), -1) if own is None else np.asarray(own)
        k = min(k, len(base))
        row, cosine = np.full((len(queries), k), -1), np.full((len(queries), k), np.nan, np.float32)
        asked = np.flatnonzero(np.isfinite(queries).all(1))
        if not len(asked) or not len(known):
            return Hits(row, cosine)
        more = min(k + 1, len(known))  # the query itself may be among them
        near, hit = graph.search(np.ascontiguousarray(queries[asked], np.float32), more)
        hit = np.where(hit >= 0, known[hit], -1)
        kept = (hit >= 0) & (hit != own[asked][:, None])
        order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
        hit, near, kept = (np.take_along_axis(x, order, axis=1) for x in (hit, near, kept))
        width = hit.shape[1]
        row[asked, :width] = np.where(kept, hit, -1)
        cosine[asked, :width] = np.where(kept, near, np.nan)
        return Hits(row, cosine)

    return find


def approximate_search(
    queries: np.ndarray, base: np.ndarray, k: int = 10, own: np.ndarray | None = None
) -> Hits:
    """Return what `evals.retrieval.search` does, nearly: build an `index` and ask it once."""
    return index(base)(queries, k, own)
