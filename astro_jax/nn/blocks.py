"""Transformer blocks of the ASTROMER family, and the one that we recommend.

A block computes in the type of its input: with bfloat16 the products and what is kept of them are
bfloat16; parameters, norms and softmax are float32.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from astro_jax.nn.attention import MaskedSelfAttention, glorot


def _norm(name: str, x: Array) -> Array:
    # The two-pass variance: E[x^2] - E[x]^2 loses the parity with the official outputs.
    return nn.LayerNorm(epsilon=1e-6, use_fast_variance=False, dtype=x.dtype, name=name)(x)


def _dense(width: int, name: str, x: Array) -> Array:
    # In two dimensions: the gradient of a kernel that meets three takes longer on a CPU.
    dense = nn.Dense(width, kernel_init=glorot(), dtype=x.dtype, name=name)
    return dense(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], width)


class PostNormBlock(nn.Module):
    """Attention, norm, feed-forward, norm, without skip connections (ASTROMER as released).

    O = LN(attention(X)), X' = LN(W2 tanh(W1 O)).
    """

    heads: int
    ffn: int
    kind: str = "einsum"  # of attention, as in `nn.attention`

    @nn.compact
    def __call__(self, x: Array, bias: Array) -> Array:
        """Map x [B, T, D] to [B, T, D]; bias is added to the attention logits."""
        o = _norm("norm_1", MaskedSelfAttention(self.heads, self.kind, name="attention")(x, bias))
        hidden = jnp.tanh(_dense(self.ffn, "dense_1", o))
        return _norm("norm_2", _dense(x.shape[-1], "dense_2", hidden))


class LearnedResidualBlock(nn.Module):
    """The block of Astromer 2: skip connections through a learned Dense D x D.

    O = LN(Z + X W_r1), X' = LN(FFN(O) + O W_r2), with Z = attention(X).
    """

    heads: int
    ffn: int
    kind: str = "einsum"  # of attention, as in `nn.attention`

    @nn.compact
    def __call__(self, x: Array, bias: Array) -> Array:
        """Map x [B, T, D] to [B, T, D]; bias is added to the attention logits."""
        width = x.shape[-1]
        z = MaskedSelfAttention(self.heads, self.kind, name="attention")(x, bias)
        o = _norm("norm_1", z + _dense(width, "residual_1", x))
        hidden = jnp.tanh(_dense(self.ffn, "dense_1", o))
        f = _dense(width, "dense_2", hidden)
        return _norm("norm_2", f + _dense(width, "residual_2", o))


class PreNormBlock(nn.Module):
    """X + attention(LN(X)), then X + FFN(LN(X)) with GELU: the gradient has a straight path."""

    heads: int
    ffn: int
    kind: str = "einsum"  # of attention, as in `nn.attention`

    @nn.compact
    def __call__(self, x: Array, bias: Array) -> Array:
        """Map x [B, T, D] to [B, T, D]; bias is added to the attention logits."""
        x = x + MaskedSelfAttention(self.heads, self.kind, name="attention")(
            _norm("norm_1", x), bias
        )
        hidden = jax.nn.gelu(_dense(self.ffn, "dense_1", _norm("norm_2", x)))
        return x + _dense(x.shape[-1], "dense_2", hidden)
