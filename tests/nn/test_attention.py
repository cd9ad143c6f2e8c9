"""Attention against plain numpy, and who may look at whom."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astro_jax.nn.attention import (
    MaskedSelfAttention,
    attention_weights,
    kernel_bias,
    key_bias,
    masked_attention,
    official_bias,
)

B, H, T, K = 2, 3, 7, 4


@pytest.fixture
def qkv():
    return jnp.asarray(np.random.default_rng(1).standard_normal((3, B, H, T, K)), jnp.float32)


@pytest.fixture
def mask():
    return jnp.arange(T) < jnp.array([T, 4])[:, None]


def test_masked_attention_is_the_formula(qkv, mask):
    q, k, v = np.asarray(qkv, float)
    bias = np.asarray(key_bias(mask), float)
    logits = q @ k.swapaxes(-1, -2) / np.sqrt(K) + bias
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    ours = masked_attention(*qkv, key_bias(mask))
    np.testing.assert_allclose(ours, weights @ v, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bias", ["keys", "official", "kernel"])
def test_fused_attention_is_the_same(qkv, mask, bias):
    """Values and gradients, also of the bias; "cudnn" is the same call for another device."""
    times = jnp.cumsum(jnp.ones((B, T)), 1)
    scale = jnp.linspace(-1.0, 1.0, H)
    biases = {
        "keys": lambda s: key_bias(mask) + 0 * s[None, :, None, None],
        "official": lambda s: official_bias(mask, ~mask) + 0 * s[None, :, None, None],
        "kernel": lambda s: kernel_bias(times, s) + key_bias(mask),
    }

    def total(qkv, scale, kind):
        mixed = masked_attention(*qkv, biases[bias](scale), kind)
        return jnp.sin(mixed * jnp.arange(1, K + 1)).sum(), mixed

    slopes = jax.value_and_grad(total, (0, 1), has_aux=True)
    (_, plain), ours = slopes(qkv, scale, "einsum")
    (_, fused), theirs = slopes(qkv, scale, "fused")
    np.testing.assert_allclose(fused, plain, atol=2e-6)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(other, one, atol=5e-6)


def test_masked_keys_weigh_exactly_nothing(qkv, mask):
    weights = np.asarray(attention_weights(qkv[0], qkv[1], key_bias(mask)))
    np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-6)
    assert (weights[1, :, :, 4:] == 0).all()
    assert (weights[1, :, :, :4] > 0).all()  # also for the query rows of padding
    assert (weights[0] > 0).all()


def test_a_row_without_any_key_is_the_mean(qkv):
    out = masked_attention(*qkv, key_bias(jnp.zeros((B, T), bool)))
    np.testing.assert_allclose(out, qkv[2].mean(2, keepdims=True).repeat(T, 2), atol=1e-5)


def test_official_bias_adds_one_where_row_or_column_is_absent(mask):
    hidden = jnp.zeros((B, T), bool).at[:, 1].set(True)
    absent = np.asarray(hidden | ~mask).astype(int)
    expected = np.minimum(1, absent[:, None, :, None] + absent[:, None, None, :])
    np.testing.assert_array_equal(official_bias(mask, hidden), expected)


def test_kernel_bias_is_minus_distance_over_scale():
    times = jnp.array([[0.0, 1.0, 5.0], [-2.0, 0.0, 2.0]])
    bias = kernel_bias(times, jnp.log(jnp.array([1.0, 10.0])))
    assert bias.shape == (2, 2, 3, 3)
    np.testing.assert_allclose(bias[0, 0], [[0, -1, -5], [-1, 0, -4], [-5, -4, 0]], atol=1e-6)
    np.testing.assert_allclose(bias[1, 1], [[0, -0.2, -0.4], [-0.2, 0, -0.2], [-0.4, -0.2, 0]])


def test_kernel_bias_depends_on_time_differences_only():
    times = jnp.array([[0.0, 1.0, 5.0]])
    scale = jnp.zeros(2)
    np.testing.assert_array_equal(kernel_bias(times, scale), kernel_bias(times + 64.0, scale))


def test_module_is_projection_attention_projection(mask):
    module = MaskedSelfAttention(H)
    x = jax.random.normal(jax.random.key(0), (B, T, 12))
    out, variables = module.init_with_output(jax.random.key(1), x, key_bias(mask))
    params = variables["params"]
    assert params["qkv"]["kernel"].shape == (12, 3, H, 4)
    qkv = jnp.einsum("btd,dchk->cbhtk", x, params["qkv"]["kernel"])
    mixed = masked_attention(*qkv, key_bias(mask))
    expected = jnp.einsum("bhtk,hkd->btd", mixed, params["out"]["kernel"])
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_initial_kernels_are_glorot_uniform_per_projection():
    x = jnp.zeros((1, 2, 64))
    params = MaskedSelfAttention(4).init(jax.random.key(0), x, 0.0)["params"]
    limit = np.sqrt(6 / (64 + 64))
    for kernel in (params["qkv"]["kernel"], params["out"]["kernel"]):
        assert np.abs(kernel).max() <= limit
        assert np.std(kernel) == pytest.approx(limit / np.sqrt(3), rel=0.03)


def test_order_of_observations_does_not_matter(mask):
    module = MaskedSelfAttention(H)
    x = jax.random.normal(jax.random.key(0), (B, T, 12))
    params = module.init(jax.random.key(1), x, 0.0)
    order = np.random.default_rng(0).permutation(T)
    straight = module.apply(params, x, key_bias(mask))
    shuffled = module.apply(params, x[:, order], key_bias(mask[:, order]))
    np.testing.assert_allclose(shuffled, straight[:, order], atol=1e-5)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="width 10 is not divisible by 3"):
        MaskedSelfAttention(3).init(jax.random.key(0), jnp.zeros((1, 2, 10)), 0.0)
