"""Buckets of length and batches change no result."""

import numpy as np
import pytest
from test_infer import MODELS, run_of
from tiny import WINDOW, toy_curves

from astro_jax import windowed
from astro_jax.data.curves import from_arrays
from astro_jax.infer import encode, mean_vectors
from astro_jax.models.astromer import Official, Paper

pytestmark = pytest.mark.usefixtures("hastily")


@pytest.mark.parametrize("fewest", [1, 3, 1000])
def test_every_window_is_in_one_bucket_that_holds_it(monkeypatch, fewest):
    monkeypatch.setattr(windowed, "FEWEST", fewest)
    size = np.random.default_rng(0).integers(1, WINDOW + 1, 40)
    found = windowed.buckets(Paper(), size, WINDOW)
    np.testing.assert_array_equal(np.sort(np.concatenate([w for _, w in found])), np.arange(40))
    for slots, which in found:
        assert size[which].max() <= slots
        assert len(which) >= fewest or slots == WINDOW
    assert len(found) == (1 if fewest == 1000 else windowed.BUCKETS)


def test_without_windows_there_is_no_bucket_but_an_empty_one():
    found = windowed.buckets(Paper(), np.zeros(0, int), WINDOW)
    assert [len(which) for _, which in found] == [0]


def test_only_where_padding_changes_nothing():
    assert not getattr(Official(), "any_length", False)
    assert [slots for slots, _ in windowed.buckets(Official(), np.ones(9, int), 32)] == [32]


@pytest.mark.parametrize("name", [n for n, m in MODELS.items() if hasattr(m, "any_length")])
def test_buckets_change_no_vector(name, monkeypatch):
    run = run_of(name)
    curves = [toy_curves(1, n, seed=n)[0] for n in (1, 9, 17, 30, 40, 70)]
    whole = encode(run, curves)
    monkeypatch.setattr(windowed, "FEWEST", 1)
    parts = encode(run, curves)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-6)


def test_mean_vectors_are_means_of_vectors():
    run = run_of("paper")
    curves = [*toy_curves(2, 50), np.array([[1.0, np.nan]])]
    means = [v.mean(0) if np.isfinite(v).all() else v[0] for v in encode(run, curves)]
    found = mean_vectors(run, from_arrays(curves))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, means, atol=2e-6)
    assert np.isnan(found[2]).all()
