"""The approximate search against the exact one."""

import builtins

import numpy as np
import pytest

from astro_jax.errors import UserError
from astro_jax.evals.approximate import approximate_search, index
from astro_jax.evals.retrieval import search


def vectors(count, seed):
    x = np.random.default_rng(seed).standard_normal((count, 24)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_it_finds_nearly_what_the_exact_search_finds():
    pytest.importorskip("faiss")
    base, queries = vectors(2000, 0), vectors(100, 1)
    ours, theirs = approximate_search(queries, base, 10), search(queries, base, 10)
    found = np.mean([len(set(a) & set(b)) for a, b in zip(ours.row, theirs.row, strict=True)])
    assert found > 9.5
    same = ours.row == theirs.row
    np.testing.assert_allclose(ours.cosine[same], theirs.cosine[same], atol=1e-5)
    assert (np.diff(ours.cosine, axis=1) <= 1e-6).all()


def test_the_query_and_missing_vectors_are_not_found():
    pytest.importorskip("faiss")
    base = vectors(50, 0)
    base[7] = np.nan
    found = index(base)(base, 5, own=np.arange(50))
    assert (found.row[7] == -1).all() and np.isnan(found.cosine[7]).all()
    assert not (found.row == 7).any() and not (found.row == np.arange(50)[:, None]).any()
    exact = search(base, base, 5, own=np.arange(50))
    np.testing.assert_array_equal(found.row, exact.row)


def test_fewer_vectors_than_wanted():
    pytest.importorskip("faiss")
    base = vectors(3, 0)
    found, exact = (f(base, base, 10, np.arange(3)) for f in (approximate_search, search))
    np.testing.assert_array_equal(found.row, exact.row)
    nothing = approximate_search(base, np.full((3, 24), np.nan), 2)
    assert (nothing.row == -1).all() and np.isnan(nothing.cosine).all()


def test_without_faiss_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def absent(name, *rest, **more):
        if name == "faiss":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match=r"'\.\[ann\]'"):
        index(vectors(3, 0))
