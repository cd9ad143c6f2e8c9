"""ProbSparse attention, convolutions and pools against their definitions in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astro_jax.nn.informer import ProbSparse, prob_sparse, sampled_keys, slot_encoding
from astro_jax.nn.linear import Conv, Linear, hashed_dropout, max_pool

pytestmark = pytest.mark.usefixtures("hastily")

B, H, T, K, U = 2, 3, 10, 4, 3


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    query, key, value = rng.standard_normal((3, B, H, T, K)).astype(np.float32)
    index = rng.integers(0, T, (T, U))
    index[0, 1] = index[0, 0]  # a key drawn twice counts twice
    return query, key, value, index


def by_loops(query, key, value, index):
    out = np.empty_like(value)
    for b, h in np.ndindex(B, H):
        q, k, v = query[b, h], key[b, h], value[b, h]
        sampled = np.array([[q[t] @ k[s] for s in index[t]] for t in range(T)])
        measure = sampled.max(1) - sampled.sum(1) / T
        out[b, h] = v.mean(0)
        for t in np.argsort(-measure)[:U]:
            weight = np.exp(q[t] @ k.T / np.sqrt(K))
            out[b, h, t] = weight @ v / weight.sum()
    return out


def test_prob_sparse_is_what_its_paper_says(drawn):
    np.testing.assert_allclose(jax.jit(prob_sparse)(*drawn), by_loops(*drawn), atol=1e-5)


def test_all_queries_attend_when_all_keys_are_sampled(drawn):
    query, key, value, _ = drawn
    every = np.tile(np.arange(T), (T, 1))
    logits = np.einsum("bhtk,bhsk->bhts", query, key) / np.sqrt(K)
    expected = np.asarray(jax.nn.softmax(logits)) @ value
    np.testing.assert_allclose(prob_sparse(query, key, value, every), expected, atol=1e-5)


def test_the_choice_of_queries_carries_no_gradient(drawn):
    query, key, value, index = drawn

    def total(q):
        return prob_sparse(q, key, value, index).sum()

    gradient = np.abs(jax.grad(total)(query)).sum(-1)
    assert ((gradient > 1e-9).sum(-1) == U).all()


def test_heads_and_times_are_mixed_up_as_released(drawn):
    index = drawn[3]
    x = np.random.default_rng(1).standard_normal((B, T, 8)).astype(np.float32)
    module = ProbSparse(heads=2)
    params = module.init(jax.random.key(0), x, index)["params"]
    output = module.apply({"params": params}, x, index)
    qkv = np.einsum("btd,dchk->cbhtk", x, params["qkv"]["kernel"])
    qkv += params["qkv"]["bias"][:, None, :, None]
    mixed = np.asarray(prob_sparse(*qkv, index)).reshape(B, T, 8)  # no transpose in between
    expected = mixed @ params["out"]["kernel"] + params["out"]["bias"]
    np.testing.assert_allclose(output, expected, atol=1e-5)


@pytest.mark.parametrize(("length", "factor", "count"), [(200, 1, 6), (200, 5, 30), (3, 9, 3)])
def test_number_of_sampled_keys(length, factor, count):
    assert sampled_keys(length, factor) == count


def test_slots_are_encoded_by_sines():
    table = slot_encoding(50, 8)
    position, frequency = np.arange(50), 10000.0 ** (-np.arange(0, 8, 2) / 8)
    np.testing.assert_allclose(table[:, 0::2], np.sin(np.outer(position, frequency)), atol=1e-5)
    np.testing.assert_allclose(table[:, 1::2], np.cos(np.outer(position, frequency)), atol=1e-5)


# Layers


@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_is_that_of_lax(bias):
    x = jax.random.normal(jax.random.key(0), (2, 12, 5))
    module = Conv(7, size=3, bias=bias)
    params = module.init(jax.random.key(1), x)["params"]
    assert params["kernel"].shape == (3, 5, 7) and ("bias" in params) == bias
    numbers = ("NWC", "WIO", "NWC")
    expected = jax.lax.conv_general_dilated(
        x, params["kernel"], (1,), "VALID", dimension_numbers=numbers
    )
    expected = expected + params.get("bias", 0.0)
    np.testing.assert_allclose(module.apply({"params": params}, x), expected, atol=1e-5)


def test_a_pool_leaves_out_the_rest():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 11, 3)))
    pooled = max_pool(x, 4)
    np.testing.assert_array_equal(pooled, np.stack([x[:, :4].max(1), x[:, 4:8].max(1)], axis=1))


def test_dense_layers_start_as_in_pytorch():
    params = Linear(400).init(jax.random.key(0), jnp.zeros((1, 25)))["params"]
    for leaf in params.values():
        assert 0.19 < float(jnp.abs(leaf).max()) <= 0.2  # 1 / sqrt(25)
        np.testing.assert_allclose(leaf.std(), 0.2 / np.sqrt(3), rtol=0.1)


def test_dropout_belongs_to_row_and_site():
    keys = jax.random.split(jax.random.key(0), 6)
    x = jnp.ones((6, 40, 50))
    y = np.asarray(hashed_dropout(x, keys, 0.3, 1))
    np.testing.assert_allclose((y == 0).mean((1, 2)), 0.3, atol=0.05)
    np.testing.assert_allclose(y[y > 0], 1 / 0.7, rtol=1e-6)
    np.testing.assert_array_equal(hashed_dropout(x[2:4], keys[2:4], 0.3, 1), y[2:4])
    other = np.asarray(hashed_dropout(x, keys, 0.3, 2))
    agree = ((y == 0) == (other == 0)).mean()
    np.testing.assert_allclose(agree, 0.3**2 + 0.7**2, atol=0.02)
    np.testing.assert_allclose(((y[0] == 0) == (y[1] == 0)).mean(), 0.58, atol=0.04)
    for still in (hashed_dropout(x, None, 0.3, 1), hashed_dropout(x, keys, 0.0, 1)):
        np.testing.assert_array_equal(still, x)


def test_dropout_of_neighbouring_values_is_independent():
    keys = jax.random.split(jax.random.key(1), 50)
    kept = np.asarray(hashed_dropout(jnp.ones((50, 2000)), keys, 0.5, 0)) > 0
    for lag in (1, 2, 3, 64, 128):
        agree = (kept[:, lag:] == kept[:, :-lag]).mean()
        assert abs(agree - 0.5) < 0.01
    assert abs(kept.mean(0) - 0.5).max() < 0.35  # no position that is always kept
