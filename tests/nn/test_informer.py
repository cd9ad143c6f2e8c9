"""ProbSparse attention, convolutions and pools against their definitions in NumPy."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astro_jax.nn.informer import ProbSparse, sampled_keys, slot_encoding
from astro_jax.nn.linear import (
    Conv,
    LayerNorm,
    Linear,
    erf_gelu,
    flat_product,
    hashed_dropout,
    max_pool,
)

pytestmark = pytest.mark.usefixtures("hastily")

B, H, T, K, U = 2, 3, 10, 4, 3  # three heads do not share ten slots evenly


@pytest.fixture(scope="module")
def drawn():
    """Return x, sampled keys, and parameters that are large enough for heads to differ."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((B, T, H * K)).astype(np.float32)
    index = rng.integers(0, T, (T, U))
    index[0, 1] = index[0, 0]  # a key drawn twice counts twice
    params = ProbSparse(heads=H).init(jax.random.key(0), x, index)["params"]
    return x, index, jax.tree.map(lambda leaf: 3 * leaf, params)


def query_key_value(x, params):
    qkv = np.einsum("btd,dchk->cbhtk", x, params["qkv"]["kernel"])
    return qkv + np.asarray(params["qkv"]["bias"])[:, None, :, None]


def by_loops(query, key, value, index):
    """Return the context [B, H, T, K], and where queries are active, by the definition."""
    out, active = np.empty_like(value), np.zeros(value.shape[:3], bool)
    for b, h in np.ndindex(B, H):
        q, k, v = query[b, h], key[b, h], value[b, h]
        sampled = np.array([[q[t] @ k[s] for s in index[t]] for t in range(T)])
        measure = sampled.max(1) - sampled.sum(1) / T
        out[b, h] = v.mean(0)
        for t in np.argsort(-measure)[: index.shape[1]]:
            weight = np.exp(q[t] @ k.T / np.sqrt(K))
            out[b, h, t] = weight @ v / weight.sum()
            active[b, h, t] = True
    return out, active


def projected(context, params):
    """Return the product with `out` of the context, read without a transpose in between."""
    mixed = np.asarray(context).reshape(B, T, H * K)
    return mixed @ params["out"]["kernel"] + params["out"]["bias"]


def attended(x, index, params):
    return ProbSparse(heads=H).apply({"params": params}, x, index)


def test_prob_sparse_is_what_its_paper_says_heads_and_times_mixed_up(drawn):
    x, index, params = drawn
    context, active = by_loops(*query_key_value(x, params), index)
    assert (active.sum(-1) == U).all()
    expected = projected(context, params)
    np.testing.assert_allclose(jax.jit(attended)(*drawn), expected, atol=1e-5)


def test_all_queries_attend_when_all_keys_are_sampled(drawn):
    x, _, params = drawn
    query, key, value = query_key_value(x, params)
    logits = np.einsum("bhtk,bhsk->bhts", query, key) / np.sqrt(K)
    expected = projected(np.asarray(jax.nn.softmax(logits)) @ value, params)
    every = np.tile(np.arange(T), (T, 1))
    np.testing.assert_allclose(attended(x, every, params), expected, atol=2e-5)


def test_gradients_are_those_of_the_definition_with_a_fixed_choice_of_queries(drawn):
    x, index, params = drawn
    active = by_loops(*query_key_value(x, params), index)[1]
    slope = np.random.default_rng(1).standard_normal((B, T, H * K)).astype(np.float32)

    def by_definition(x, params):
        qkv = jnp.einsum("btd,dchk->cbhtk", x, params["qkv"]["kernel"])
        query, key, value = qkv + params["qkv"]["bias"][:, None, :, None]
        weights = jax.nn.softmax(jnp.einsum("bhtk,bhsk->bhts", query, key) / K**0.5)
        mean = value.mean(2, keepdims=True)
        context = jnp.where(active[..., None], weights @ value, mean)
        mixed = context.reshape(x.shape)
        return ((mixed @ params["out"]["kernel"] + params["out"]["bias"]) * slope).sum()

    def ours(x, params):
        return (attended(x, index, params) * slope).sum()

    expected = jax.grad(by_definition, (0, 1))(x, params)
    for one, other in zip(
        *map(jax.tree.leaves, (jax.grad(ours, (0, 1))(x, params), expected)), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=3e-5)
    assert np.abs(expected[1]["qkv"]["kernel"]).max() > 1


def test_heads_share_the_width_evenly(drawn):
    with pytest.raises(ValueError, match="width 12 is not divisible by 5 heads"):
        ProbSparse(heads=5).init(jax.random.key(0), *drawn[:2])


@pytest.mark.parametrize(("length", "factor", "count"), [(200, 1, 6), (200, 5, 30), (3, 9, 3)])
def test_number_of_sampled_keys(length, factor, count):
    assert sampled_keys(length, factor) == count


def test_slots_are_encoded_by_sines():
    table = slot_encoding(50, 8)
    position, frequency = np.arange(50), 10000.0 ** (-np.arange(0, 8, 2) / 8)
    np.testing.assert_allclose(table[:, 0::2], np.sin(np.outer(position, frequency)), atol=1e-5)
    np.testing.assert_allclose(table[:, 1::2], np.cos(np.outer(position, frequency)), atol=1e-5)


# Layers


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)], ids=["narrowing", "widening"])
def test_a_product_and_its_gradients_are_those_of_matmul(shape):
    x, slope = (jax.random.normal(jax.random.key(i), (2, 7, shape[i])) for i in (0, 1))
    kernel = jax.random.normal(jax.random.key(2), shape)
    ours, gradients = jax.vjp(flat_product, x, kernel)
    expected, plain = jax.vjp(jnp.matmul, x, kernel)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    for one, other in zip(gradients(slope), plain(slope), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_gelu_and_its_gradient_are_those_of_jax():
    x = jnp.linspace(-6, 6, 101)
    exact = functools.partial(jax.nn.gelu, approximate=False)
    np.testing.assert_allclose(erf_gelu(x), exact(x), atol=1e-6)
    gradients = (jax.vmap(jax.grad(f))(x) for f in (erf_gelu, exact))
    np.testing.assert_allclose(*gradients, atol=1e-6)


def test_a_layer_norm_and_its_gradients_are_those_of_flax():
    x = 5 + 3 * jax.random.normal(jax.random.key(0), (2, 7, 16))
    params = {"scale": jnp.linspace(0.5, 2, 16), "bias": jnp.linspace(-1, 1, 16)}
    flax_norm = nn.LayerNorm(epsilon=1e-5, use_fast_variance=False)

    def total(module, x, params):
        return jnp.sin(module.apply({"params": params}, x)).sum()

    both = [jax.value_and_grad(total, (1, 2))(m, x, params) for m in (LayerNorm(), flax_norm)]
    for one, other in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    assert LayerNorm().apply({"params": params}, x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


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
