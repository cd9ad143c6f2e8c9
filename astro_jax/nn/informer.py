"""The Informer encoder of AstroM3, as released (`ProbSparse`) and with a mask (`MaskedLayer`).

ProbSparse attention (Zhou et al. 2021, arXiv 2012.07436) lets only the u queries attend that look
least uniform over a few sampled keys; all others get the mean of the values.
"""

from functools import reduce
from math import ceil, log

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from astro_jax.nn.attention import MaskedSelfAttention
from astro_jax.nn.linear import (
    Conv,
    LayerNorm,
    Linear,
    Weights,
    erf_gelu,
    flat_product,
    hashed_dropout,
    head_size,
)

EMBEDDING_DROPOUT = 0.1  # fixed in the released embedding layer, whatever the config says
SITES = 4  # places in a layer where dropout is applied


def sampled_keys(length: int, factor: int = 1) -> int:
    """Return u = factor ceil(ln T): how many keys are sampled and how many queries attend."""
    return min(factor * ceil(log(length)), length)


def active_queries(query: Array, key: Array, index: Array, heads: int) -> Array:
    """Return the u queries a head that look least uniform over their sampled keys, [B, H, u] int.

    query, key: [B, T, H K]; index: [T, u] int, the keys that each query is measured by, the same
    for all rows and heads.  The measure is max_s(q k_s) - sum_s(q k_s) / T, unscaled: the released
    code divides by the number of keys and not by that of the sample.  No gradient passes.
    """
    query, key = jax.lax.stop_gradient((query.astype(jnp.float32), key.astype(jnp.float32)))
    length, width = query.shape[1:]
    by_head = np.kron(np.eye(heads), np.ones((width // heads, 1))).astype(np.float32)

    def products(keys: Array) -> Array:
        flat = (key.at[:, keys].get(mode="clip") * query).reshape(-1, width)
        return jnp.matmul(flat, by_head, precision="highest")  # [B T, H]

    sampled = [products(keys) for keys in index.T]
    measure = reduce(jnp.maximum, sampled) - sum(sampled) / length
    measure = measure.reshape(-1, length, heads).swapaxes(1, 2)
    return jax.lax.top_k(measure, index.shape[1])[1]


def sparse_context(
    x: Array, kernel: Array, bias: Array, index: Array
) -> tuple[Array, Array, Array]:
    """Return the context of ProbSparse attention by its parts: mean, changes and their times.

    x: [B, T, D]; kernel [D, 3, H, K] and bias [3, H, K] of query, key and value; index: [T, u] as
    in `active_queries`.  Returns mean [B, H, K], the context of all queries but the active ones,
    change [B, H, u, K], what these have beyond it, and their times [B, H, u].

    Nothing is projected for all times but what the choice of queries needs, which has no gradient:
    with s = softmax(q W_k^T x^T / sqrt(K)), an active query finds W_v (s x), W_v (s x - mean x)
    beyond the mean.  The same numbers as by the definition but for rounding; the bias of the keys
    drops out of the softmax and has gradient 0.
    """
    batch, length, width = x.shape
    heads, size = kernel.shape[2:]
    flat = flat_product(x, kernel[:, :2].reshape(width, -1)) + bias[:2].ravel()
    times = active_queries(*jnp.split(flat, 2, axis=-1), index, heads)
    chosen = jax.nn.one_hot(times.reshape(batch, -1), length, dtype=x.dtype)  # [B, H u, T]

    def by_head(y: Array) -> Array:
        return y.reshape(batch, heads, -1, width)

    query = jnp.einsum("bhud,dhk->bhuk", by_head(chosen @ x), kernel[:, 0]) + bias[0][:, None]
    query = jnp.einsum("bhuk,dhk->bhud", query * size**-0.5, kernel[:, 1])
    query = query.reshape(batch, -1, width)
    logits = jnp.einsum("bnd,btd->bnt", query, x, preferred_element_type=jnp.float32)
    mean = x.mean(1, keepdims=True)
    beyond = jax.nn.softmax(logits, axis=-1).astype(x.dtype) @ x - mean
    change = jnp.einsum("bhud,dhk->bhuk", by_head(beyond), kernel[:, 2])
    return jnp.einsum("btd,dhk->bhk", mean, kernel[:, 2]) + bias[2], change, times


def project_mixed(mean: Array, change: Array, times: Array, kernel: Array, length: int) -> Array:
    """Return the context times kernel [D, D], [B, T, D], heads and times mixed up as released.

    The context [B, H, T, K] of `sparse_context` is read as [B, T, H K] without a transpose: slot t
    holds head H t // T at H neighbouring times.
    """
    batch, heads, size = mean.shape
    width = heads * size
    place = np.arange(heads)[:, None] * length + times  # in the context, [B, H, u]
    part = jax.nn.one_hot(place % heads, heads, dtype=mean.dtype)[..., None]  # of the slot
    rows = (part * change[..., None, :]).reshape(batch, -1, width) @ kernel
    means = jnp.einsum("bhk,jkd->bhjd", mean, kernel.reshape(heads, size, width))
    every = np.arange(heads * length)
    held = np.zeros((length, heads, heads), mean.dtype)  # slot t holds head h as part j
    held[every // heads, every // length, every % heads] = 1
    held = np.broadcast_to(held.reshape(length, -1), (batch, length, heads**2))
    slots = jax.nn.one_hot(place.reshape(batch, -1) // heads, length, dtype=mean.dtype, axis=1)
    rows = jnp.concatenate([rows, means.reshape(batch, -1, width)], axis=1)
    return jnp.concatenate([slots, held], axis=2) @ rows


class ProbSparse(nn.Module):
    """ProbSparse attention as released: the active queries attend to all keys, padding too.

    The others get the mean of the values.  Heads and times are mixed up as the released weights
    know it; merged rightly, these give other vectors (cosine 0.62).  Parameters as in
    `MaskedSelfAttention`; out/kernel [D, D].
    """

    heads: int

    @nn.compact
    def __call__(self, x: Array, index: Array) -> Array:
        """Map x [B, T, D] to [B, T, D]; index [T, u] are the sampled keys."""
        width = x.shape[-1]
        shape = (width, 3, self.heads, head_size(width, self.heads))
        kernel, bias = Weights(shape, name="qkv")(x.dtype)
        out, offset = Weights((width, width), name="out")(x.dtype)
        return project_mixed(*sparse_context(x, kernel, bias, index), out, x.shape[1]) + offset


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
        x = LayerNorm(name="norm_1")(x + drop(attended, 1))
        hidden = erf_gelu(Linear(self.ffn, name="dense_1")(x))
        hidden = Linear(width, name="dense_2")(drop(hidden, 2))
        x = LayerNorm(name="norm_2")(x + drop(hidden, 3))
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
