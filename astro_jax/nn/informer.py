"""The Informer encoder of AstroM3, as released (`ProbSparse`) and with a mask (`MaskedLayer`).

ProbSparse attention (Zhou et al. 2021, arXiv 2012.07436) lets only the u queries attend that look
least uniform over a few sampled keys; all others get the mean of the values.
"""

from math import ceil, log

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from astro_jax.nn.attention import MaskedSelfAttention, attend
from astro_jax.nn.linear import (
    Conv,
    HeadLinear,
    Linear,
    erf_gelu,
    fan_in_uniform,
    hashed_dropout,
    layer_norm,
)

EMBEDDING_DROPOUT = 0.1  # fixed in the released embedding layer, whatever the config says
SITES = 4  # places in a layer where dropout is applied


def sampled_keys(length: int, factor: int = 1) -> int:
    """Return u = factor ceil(ln T): how many keys are sampled and how many queries attend."""
    return min(factor * ceil(log(length)), length)


def prob_sparse(query: Array, key: Array, value: Array, index: Array) -> Array:
    """Return ProbSparse attention, [B, H, T, K], of arrays [B, H, T, K].

    index: [T, u] int, the keys that each query is measured by, the same for all rows and heads.
    The measure is max_s(q k_s) - sum_s(q k_s) / T, unscaled: the released code divides by the
    number of keys and not by that of the sample.  The u queries of largest measure attend to all
    keys, padding too; the others get the mean of the values.

    The scores of all pairs are one matrix product, from which the sampled ones are gathered: the
    keys themselves would be gathered u times.
    """
    length, count = index.shape
    fixed_query, fixed_key = jax.lax.stop_gradient((query, key))
    exact = {"preferred_element_type": jnp.float32}
    scores = jnp.einsum("bhsk,bhtk->bhst", fixed_key, fixed_query, **exact)  # [B, H, T, T]
    flat = scores.reshape(*scores.shape[:2], length * length)
    place = (index.T * length + jnp.arange(length)).ravel()
    sampled = flat[:, :, place].reshape(*scores.shape[:2], count, length)  # [B, H, u, T]
    measure = sampled.max(2) - sampled.sum(2) / length
    top = jax.lax.top_k(measure, count)[1]  # [B, H, u]
    chosen = jax.nn.one_hot(top, length, dtype=query.dtype)  # [B, H, u, T]
    active = jnp.take_along_axis(query, top[..., None], axis=2)  # [B, H, u, K]
    logits = jnp.einsum("bhuk,bhsk->bhus", active, key, **exact) * query.shape[-1] ** -0.5
    mean = value.mean(2, keepdims=True)
    change = attend(jax.nn.softmax(logits, axis=-1), value) - mean
    return mean + jnp.einsum("bhut,bhuk->bhtk", chosen, change)


class ProbSparse(nn.Module):
    """ProbSparse attention as released, heads and time mixed up as the weights know it.

    The result [B, H, T, K] is read as [B, T, H K] without a transpose: slot t of the output is
    head 4 t // T at four neighbouring times.  Merged rightly, the released weights give other
    vectors (cosine 0.62).  Parameters as in `MaskedSelfAttention`; out/kernel [D, D].
    """

    heads: int

    @nn.compact
    def __call__(self, x: Array, index: Array) -> Array:
        """Map x [B, T, D] to [B, T, D]; index [T, u] are the sampled keys."""
        batch, length, width = x.shape
        draw = fan_in_uniform(width)
        query, key, value = HeadLinear(self.heads, draw, draw, name="qkv")(x)
        mixed = prob_sparse(query, key, value, index).reshape(batch, length, width)
        return Linear(width, name="out")(mixed)


class Layer(nn.Module):
    """A post-norm layer: x = LN(x + attention), then x = LN(x + W2 GELU(W1 x)).

    Attention is `ProbSparse` where `sparse` names the sampled keys, else over all keys that are
    observed.  `number` tells the layers' dropout apart.
    """

    heads: int
    ffn: int
    rate: float
    number: int
    kind: str = "einsum"  # of attention over all keys, as in `nn.attention`

    @nn.compact
    def __call__(self, x: Array, keys: Array | None, index: Array | None, bias: Array | None):
        """Map x [B, T, D] to [B, T, D]; index [T, u] or bias as in `nn.attention`."""
        width = x.shape[-1]

        def drop(y: Array, place: int) -> Array:
            return hashed_dropout(y, keys, self.rate, self.number * SITES + place)

        if index is not None:
            attended = ProbSparse(self.heads, name="attention")(x, index)
        else:
            attended = MaskedSelfAttention(self.heads, self.kind, name="attention")(x, bias)
        self.sow("intermediates", "attended", attended)
        x = layer_norm("norm_1", x.dtype)(x + drop(attended, 1))
        hidden = erf_gelu(Linear(self.ffn, name="dense_1")(x))
        hidden = Linear(width, name="dense_2")(drop(hidden, 2))
        x = layer_norm("norm_2", x.dtype)(x + drop(hidden, 3))
        self.sow("intermediates", "output", x)
        return x


class TokenEmbedding(nn.Module):
    """A convolution over three neighbouring slots plus the sines of the slot's number.

    wrap: the first slot neighbours the last, as released; else slots outside are 0.
    """

    width: int
    wrap: bool

    @nn.compact
    def __call__(self, x: Array, keys: Array | None) -> Array:
        """Map [B, T, C] to [B, T, D]."""
        mode = {"mode": "wrap"} if self.wrap else {}
        padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)), **mode)
        # Kaiming-normal for a leaky relu of slope 0.01, as released
        init = nn.initializers.variance_scaling(2 / (1 + 0.01**2), "fan_in", "normal")
        conv = Conv(self.width, bias=False, kernel_init=init, name="conv")
        embedded = conv(padded) + slot_encoding(x.shape[1], self.width)
        return hashed_dropout(embedded, keys, EMBEDDING_DROPOUT, 0)


def slot_encoding(length: int, width: int) -> np.ndarray:
    """Return sines and cosines of the slot's number, [T, D] float32 (Vaswani et al. 2017, 3.5).

    Frequencies and phases are rounded to float32, as in the table that the released weights hold:
    it is met to 1e-6, exact frequencies would be off by 1.5e-5 at slot 255.
    """
    even = np.arange(0, width, 2).astype(np.float32)
    exponent = even * np.float32(-np.log(10000.0) / width)
    frequency = np.exp(exponent.astype(np.float64)).astype(np.float32)
    phase = (np.arange(length, dtype=np.float32)[:, None] * frequency).astype(np.float64)
    table = np.empty((length, width), np.float32)
    table[:, 0::2], table[:, 1::2] = np.sin(phase), np.cos(phase)
    return table
