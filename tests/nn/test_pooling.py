"""Pooling by hand, and dropout that belongs to a row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astro_jax.errors import UserError
from astro_jax.nn.pooling import POOLINGS, pool, random_vector, row_dropout

X = jnp.array([[[1.0, -5.0], [9.0, 9.0], [3.0, -1.0], [2.0, -3.0], [9.0, 9.0]]] * 2)
MASK = jnp.array([[True, False, True, True, False], [False] * 5])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mean", [2.0, -3.0]), ("max", [3.0, -1.0]), ("first", [1.0, -5.0]), ("last", [2.0, -3.0])],
)
def test_poolings_see_observations_only(name, expected):
    np.testing.assert_allclose(pool(name, X, MASK), [expected, [0.0, 0.0]])


def test_random_vector_is_one_of_the_observations_all_as_often():
    x = jnp.broadcast_to(jnp.arange(5.0)[:, None], (3000, 5, 1))
    mask = jnp.broadcast_to(MASK[0], (3000, 5))
    drawn = np.asarray(random_vector(x, mask, jax.random.split(jax.random.key(0), 3000)))
    counts = np.bincount(drawn[:, 0].astype(int), minlength=5)
    assert counts[[1, 4]].sum() == 0
    assert (np.abs(counts[[0, 2, 3]] - 1000) < 5 * np.sqrt(1000 * 2 / 3)).all()


def test_random_vector_of_an_evaluation_depends_on_the_number_of_observations_only():
    x = jnp.arange(8.0)[None, :, None].repeat(8, 0)
    mask = jnp.arange(8) < jnp.arange(1, 9)[:, None]
    drawn = np.asarray(random_vector(x, mask))[:, 0]
    padded = np.asarray(
        random_vector(jnp.pad(x, [(0, 0), (0, 5), (0, 0)]), jnp.pad(mask, [(0, 0), (0, 5)]))
    )
    np.testing.assert_array_equal(drawn, padded[:, 0])
    np.testing.assert_array_equal(drawn[::-1], random_vector(x, mask[::-1])[:, 0])
    assert (drawn < np.arange(1, 9)).all() and len(set(drawn)) > 2


@pytest.mark.parametrize("name", POOLINGS)
def test_padding_changes_no_bit_and_no_gradient(name):
    dirty = jnp.where(MASK[..., None], X, jnp.nan)
    gradient = jax.grad(lambda x: (pool(name, x, MASK) ** 2).sum())
    np.testing.assert_array_equal(pool(name, dirty, MASK), pool(name, X, MASK))
    np.testing.assert_array_equal(gradient(dirty), gradient(X))
    assert np.isfinite(gradient(dirty)).all() and np.abs(gradient(dirty)).max() > 0


def test_unknown_pooling_is_named():
    with pytest.raises(UserError, match="no pooling 'men' .did you mean 'mean'"):
        pool("men", X, MASK)


def test_dropout_keeps_the_mean_and_the_rate():
    keys = jax.random.split(jax.random.key(0), 200)
    dropped = np.asarray(row_dropout(jnp.ones((200, 50)), keys, 0.3))
    np.testing.assert_allclose(np.unique(dropped), [0.0, 1 / 0.7], rtol=1e-6)
    assert (dropped == 0).mean() == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / 10_000))
    assert (dropped != dropped[0]).any()


def test_dropout_belongs_to_the_row():
    keys = jax.random.split(jax.random.key(0), 6)
    x = jax.random.normal(jax.random.key(1), (6, 4, 3))
    dropout = jax.jit(lambda x, keys: row_dropout(x, keys, 0.5))
    whole = np.asarray(dropout(x, keys))
    order = np.array([4, 1, 5, 0, 2, 3])
    np.testing.assert_array_equal(whole[order], dropout(x[order], keys[order]))
    np.testing.assert_array_equal(whole[2:4], dropout(x[2:4], keys[2:4]))


def test_no_dropout_without_keys_or_rate():
    assert row_dropout(X, None, 0.5) is X
    assert row_dropout(X, jax.random.split(jax.random.key(0), 2), 0.0) is X
