"""Self-attention over irregular observations, and the biases that say who may look at whom.

A bias is added to the scaled logits and broadcasts to [B, H, T, T]: rows are queries, columns
keys. `mask` is True where there is an observation, `hidden` is True where its magnitude has been
removed from the input.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from astro_jax.nn.linear import HeadLinear

KINDS = ("einsum", "fused", "cudnn")
NEVER = -1e9  # finite, so that a row without any key gives a mean and not NaN


def masked_attention(
    query: Array, key: Array, value: Array, bias: Array, kind: str = "einsum"
) -> Array:
    """Return softmax(q k^T / sqrt(K) + bias) v.

    Heads stand before length (all arrays [B, H, T, K]): on CPU the two products are then plain
    batched matrix products without a transpose.  Logits and softmax are float32.
    kind: "einsum" two products; "fused" `jax.nn.dot_product_attention`; "cudnn" the same with
        cuDNN's flash attention, for NVIDIA GPUs and bfloat16 alone: the weights are never stored.
        `experiments/speed/attention.py` says which is fastest on a device.
    """
    if kind == "einsum":
        return attend(attention_weights(query, key, bias), value)
    shape = (*query.shape[:-1], key.shape[-2])
    mixed = jax.nn.dot_product_attention(
        *(x.swapaxes(1, 2) for x in (query, key, value)),
        bias=jnp.broadcast_to(bias, shape).astype(query.dtype),
        implementation="cudnn" if kind == "cudnn" else "xla",
    )
    return mixed.swapaxes(1, 2)


def attention_weights(query: Array, key: Array, bias: Array) -> Array:
    """Return the weights of every query over the keys, [B, H, T, T], each row summing to 1."""
    scale = query.shape[-1] ** -0.5
    logits = jnp.einsum("bhtk,bhsk->bhts", query * scale, key, preferred_element_type=jnp.float32)
    return jax.nn.softmax(logits + bias, axis=-1)


def attend(weights: Array, value: Array) -> Array:
    """Average the values [B, H, T, K] by the weights [B, H, T, T]."""
    return jnp.einsum("bhts,bhsk->bhtk", weights.astype(value.dtype), value)


def official_bias(mask: Array, hidden: Array) -> Array:
    """Return +1 wherever query or key is hidden or padding, [B, 1, T, T].

    What the released ASTROMER weights were trained with: the code adds min(1, u_i + u_j) to the
    scaled logits, so masked keys are *favoured* (the paper's eq. 6 prints -1e9 M).
    """
    absent = hidden | ~mask
    either = absent[:, None, :, None] | absent[:, None, None, :]
    return either.astype(jnp.float32)


def key_bias(visible: Array) -> Array:
    """Return -1e9 for keys that are not visible, [B, 1, 1, T].

    Eq. 6 of ASTROMER with the mask on keys only: query rows stay, so that a hidden point can
    attend to the visible ones.  visible: [B, T] bool.
    """
    return jnp.where(visible, 0.0, NEVER)[:, None, None, :]


def kernel_bias(times: Array, log_scale: Array) -> Array:
    """Return -|t_i - t_j| / tau_h, [B, H, T, T]: each head starts as an exponential smoother.

    The kernel of an Ornstein-Uhlenbeck process with time scale tau_h = exp(log_scale_h) days; it
    depends on time differences only.  times: [B, T] days; log_scale: [H].
    """
    distance = jnp.abs(times[:, :, None] - times[:, None, :])  # [B, T, T]
    return -distance[:, None] * jnp.exp(-log_scale)[None, :, None, None]


def phase_bias(times: Array, frequency: Array, log_width: Array) -> Array:
    """Return -|phase_i - phase_j| / sigma_h at the frequency of each head, [B, H, T, T].

    Phase differences go once round, so that they are at most half a cycle; sigma_h =
    exp(log_width_h) cycles.  times: [B, T] days; frequency: [B, H] cycles a day; log_width: [H].
    """
    cycles = frequency[:, :, None, None] * (times[:, None, :, None] - times[:, None, None, :])
    return -jnp.abs(cycles - jnp.rint(cycles)) * jnp.exp(-log_width)[:, None, None]


class MaskedSelfAttention(nn.Module):
    """Multi-head self-attention with one fused projection and an additive bias.

    Parameters: qkv/kernel [D, 3, H, K], qkv/bias [3, H, K], out/kernel [H, K, D], out/bias [D],
    Glorot-uniform as if query, key and value had a kernel [D, D] each.
    """

    heads: int
    kind: str = "einsum"  # of `masked_attention`

    @nn.compact
    def __call__(self, x: Array, bias: Array) -> Array:
        """Map x [B, T, D] to [B, T, D]; bias broadcasts to [B, H, T, T]."""
        width = x.shape[-1]
        draw = glorot(in_axis=0, out_axis=(2, 3), batch_axis=(1,))
        query, key, value = HeadLinear(self.heads, draw, name="qkv")(x)
        if self.kind == "einsum":
            weights = attention_weights(query, key, bias)
            self.sow("intermediates", "weights", weights)
            mixed = attend(weights, value)
        else:
            mixed = masked_attention(query, key, value, bias, self.kind)
        mixed = mixed.swapaxes(1, 2).reshape(-1, self.heads, width // self.heads)
        out = nn.DenseGeneral(width, axis=(-2, -1), kernel_init=glorot(), dtype=x.dtype, name="out")
        return out(mixed).reshape(x.shape)


def glorot(**axes) -> nn.initializers.Initializer:
    """Return the Glorot-uniform initializer (Keras' default, as the references use it)."""
    return nn.initializers.variance_scaling(1.0, "fan_avg", "uniform", **axes)
