"""Recurrent layers that skip what was not observed: LSTM and GRU, in the layout of Keras.

The input product of all steps is one matrix product before the scan, so that only the product of
the state with the recurrent kernel is left inside.  Tried and left out, on two CPU cores: unrolling
(2 or 4 steps: 8 and 30 % slower) and the recurrent kernel's gradient in one product after the scan
(no faster from 64 rows on, 6 % at 16).
`mask` is [B, T] bool, True = observed: a step without an observation leaves the state as it is
and gives the output of the step before it (Keras' masking), so the last output is that of the
last observation, wherever it stands.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from astro_jax.nn.attention import glorot

State = tuple[Array, ...]  # the output comes first


def lstm(x: Array, mask: Array, kernel: Array, recurrent_kernel: Array, bias: Array) -> Array:
    """Return the outputs of an LSTM at all steps, [B, T, D] (Hochreiter and Schmidhuber 1997).

    x: [B, T, C]; kernel: [C, 4 D]; recurrent_kernel: [D, 4 D]; bias: [4 D]; columns in the order
    input, forget, candidate, output.
    c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c'); both start at 0.
    """
    inputs = _project(x, mask, kernel, bias)

    def cell(state: State, at: Array) -> State:
        i, f, g, o = jnp.split(at + state[0] @ recurrent_kernel, 4, axis=-1)
        memory = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(memory), memory

    zero = jnp.zeros((len(x), recurrent_kernel.shape[0]), inputs.dtype)
    return _scan(cell, (zero, zero), inputs, mask)


def gru(x: Array, mask: Array, kernel: Array, recurrent_kernel: Array, bias: Array) -> Array:
    """Return the outputs of a GRU at all steps, [B, T, D] (Cho et al. 2014, Keras' reset_after).

    x: [B, T, C]; kernel: [C, 3 D]; recurrent_kernel: [D, 3 D]; bias: [2, 3 D], of the input and of
    the recurrent product; columns in the order update, reset, candidate.
    n = tanh(x W_n + b_n + sigmoid(r) (h U_n + c_n)), h' = sigmoid(z) h + (1 - sigmoid(z)) n.
    """
    inputs = _project(x, mask, kernel, bias[0])

    def cell(state: State, at: Array) -> State:
        xz, xr, xn = jnp.split(at, 3, axis=-1)
        hz, hr, hn = jnp.split(state[0] @ recurrent_kernel + bias[1], 3, axis=-1)
        z = jax.nn.sigmoid(xz + hz)
        return (z * state[0] + (1.0 - z) * jnp.tanh(xn + jax.nn.sigmoid(xr + hr) * hn),)

    zero = jnp.zeros((len(x), recurrent_kernel.shape[0]), inputs.dtype)
    return _scan(cell, (zero,), inputs, mask)


def _project(x: Array, mask: Array, kernel: Array, bias: Array) -> Array:
    """Return x W + b of all steps, [T, B, columns]; NaN in padding must not reach a gradient."""
    return jnp.where(mask[..., None], x, 0.0).swapaxes(0, 1) @ kernel + bias


def _scan(cell: Callable[[State, Array], State], state: State, inputs: Array, mask: Array) -> Array:
    """Run a cell over inputs [T, B, columns]; return its outputs, [B, T, D]."""

    def step(state: State, slot: tuple[Array, Array]) -> tuple[State, Array]:
        at, observed = slot
        new = cell(state, at)
        state = tuple(jnp.where(observed, n, s) for n, s in zip(new, state, strict=True))
        return state, state[0]

    _, outputs = jax.lax.scan(step, state, (inputs, mask.T[..., None]))
    return outputs.swapaxes(0, 1)


def _forget_bias(key: Array, shape: tuple[int]) -> Array:
    """Return 1 for the forget gate and 0 elsewhere (Keras' unit_forget_bias; Gers et al. 2000)."""
    width = shape[0] // 4
    return jnp.zeros(shape).at[width : 2 * width].set(1.0)


class LSTM(nn.Module):
    """`lstm` with its parameters, drawn as in Keras: Glorot-uniform, orthogonal, forget bias 1."""

    width: int

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        """Map x [B, T, C] to outputs [B, T, D]; mask [B, T] bool."""
        columns = 4 * self.width
        kernel = self.param("kernel", glorot(), (x.shape[-1], columns))
        orthogonal = nn.initializers.orthogonal()
        recurrent = self.param("recurrent_kernel", orthogonal, (self.width, columns))
        bias = self.param("bias", _forget_bias, (columns,))
        return lstm(x, mask, kernel, recurrent, bias)


class GRU(nn.Module):
    """`gru` with its parameters, drawn as in Keras: Glorot-uniform, orthogonal, zero."""

    width: int

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        """Map x [B, T, C] to outputs [B, T, D]; mask [B, T] bool."""
        columns = 3 * self.width
        kernel = self.param("kernel", glorot(), (x.shape[-1], columns))
        orthogonal = nn.initializers.orthogonal()
        recurrent = self.param("recurrent_kernel", orthogonal, (self.width, columns))
        bias = self.param("bias", nn.initializers.zeros, (2, columns))
        return gru(x, mask, kernel, recurrent, bias)


class StackedLSTM(nn.Module):
    """LSTM, LayerNorm, LSTM: the recurrent network of ASTROMER's classifiers (eps 1e-3 of Keras).

    Differs from the paper, as the released code does: one LayerNorm between the two cells, not one
    after each, and no dropout inside.
    """

    width: int

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        """Map x [B, T, C] to outputs [B, T, D]; mask [B, T] bool."""
        x = LSTM(self.width, name="lstm_1")(x, mask)
        x = nn.LayerNorm(epsilon=1e-3, use_fast_variance=False, name="norm")(x)
        return LSTM(self.width, name="lstm_2")(x, mask)
