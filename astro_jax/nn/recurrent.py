"""Recurrent layers that skip what was not observed: LSTM and GRU, in the layout of Keras.

The input product of all steps is one matrix product before the scan, and the gradient of the
recurrent kernel one after it; only the product of the state with that kernel is left inside.
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
    width = recurrent_kernel.shape[0]
    return _over_time(_lstm_cell, 2, width, x, mask, kernel, bias, recurrent_kernel)


def gru(x: Array, mask: Array, kernel: Array, recurrent_kernel: Array, bias: Array) -> Array:
    """Return the outputs of a GRU at all steps, [B, T, D] (Cho et al. 2014, Keras' reset_after).

    x: [B, T, C]; kernel: [C, 3 D]; recurrent_kernel: [D, 3 D]; bias: [2, 3 D], of the input and of
    the recurrent product; columns in the order update, reset, candidate.
    n = tanh(x W_n + b_n + sigmoid(r) (h U_n + c_n)), h' = sigmoid(z) h + (1 - sigmoid(z)) n.
    """
    width = recurrent_kernel.shape[0]
    # Columns z, r, recurrent part of n, input part of n: the recurrent product goes to the first 3.
    gates, candidate = kernel[:, : 2 * width], kernel[:, 2 * width :]
    kernel = jnp.concatenate([gates, jnp.zeros_like(candidate), candidate], axis=-1)
    both = bias[0] + bias[1]
    bias = jnp.concatenate([both[: 2 * width], bias[1, 2 * width :], bias[0, 2 * width :]])
    return _over_time(_gru_cell, 1, width, x, mask, kernel, bias, recurrent_kernel)


def _lstm_cell(state: State, gates: Array, rest: Array) -> State:
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    memory = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(memory), memory


def _gru_cell(state: State, gates: Array, rest: Array) -> State:
    z, r, candidate = jnp.split(gates, 3, axis=-1)
    candidate = jnp.tanh(rest + jax.nn.sigmoid(r) * candidate)
    update = jax.nn.sigmoid(z)
    return (update * state[0] + (1.0 - update) * candidate,)


def _over_time(
    cell: Callable,
    states: int,
    width: int,
    x: Array,
    mask: Array,
    kernel: Array,
    bias: Array,
    recurrent_kernel: Array,
) -> Array:
    x = jnp.where(mask[..., None], x, 0.0)  # NaN in padding must not reach a gradient
    inputs = x.swapaxes(0, 1) @ kernel + bias  # [T, B, columns]
    zero = (jnp.zeros((x.shape[0], width), x.dtype),) * states
    outputs = _recur(cell, inputs, recurrent_kernel, mask.T[..., None], zero)
    return outputs.swapaxes(0, 1)


def _scan(cell: Callable, inputs: Array, kernel: Array, mask: Array, zero: State) -> Array:
    """Scan a cell over time, adding (output of the step before) @ kernel to the first inputs.

    inputs: [T, B, columns]; kernel: [D, G], G <= columns; mask: [T, B, 1]; returns [T, B, D].
    """
    columns = kernel.shape[1]

    def step(state: State, slot: tuple[Array, Array]) -> tuple[State, Array]:
        x, observed = slot
        gates = x[:, :columns] + state[0] @ kernel
        new = cell(state, gates, x[:, columns:])
        state = tuple(jnp.where(observed, n, s) for n, s in zip(new, state, strict=True))
        return state, state[0]

    return jax.lax.scan(step, zero, (inputs, mask))[1]


def _scan_forward(
    cell: Callable, inputs: Array, kernel: Array, mask: Array, zero: State
) -> tuple[Array, tuple]:
    outputs, pull = jax.vjp(lambda x: _scan(cell, x, kernel, mask, zero), inputs)
    return outputs, (outputs, pull, kernel.shape[1], zero)


def _scan_backward(cell: Callable, residuals: tuple, slope: Array) -> tuple:
    """Return the gradients; that of the kernel in one product over all steps and rows.

    The product is added to the inputs, so its gradient is theirs.  Inside the scan, the kernel's
    gradient would be a sum over T of products of B rows each, [D, G] written at every step.
    """
    outputs, pull, columns, zero = residuals
    (inputs,) = pull(slope)
    before = jnp.concatenate([zero[0][None], outputs[:-1]])
    kernel = jnp.einsum("tbd,tbg->dg", before, inputs[..., :columns])
    return inputs, kernel, None, None


_recur = jax.custom_vjp(_scan, nondiff_argnums=(0,))
_recur.defvjp(_scan_forward, _scan_backward)


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
