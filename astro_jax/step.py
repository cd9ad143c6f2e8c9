"""The one train step and the one evaluation step, for every model and objective."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array
from jax.flatten_util import ravel_pytree


@struct.dataclass
class Mean:
    """A weighted mean that is still a (total, weight) pair, so that pieces of batches add up.

    root: take the square root at the end (a root mean square).
    """

    total: Array
    weight: Array
    root: bool = struct.field(pytree_node=False, default=False)

    @property
    def value(self) -> Array:
        """The mean, 0 where nothing was weighed."""
        mean = self.total / jnp.maximum(self.weight, 1e-12)
        return jnp.sqrt(mean) if self.root else mean


@struct.dataclass
class TrainState:
    """What training changes: step [] int32, parameters, optimiser state."""

    step: Array
    params: Any
    opt_state: Any


class Objective(NamedTuple):
    """What is minimised.

    metrics(params, batch, key, train) -> {name: Mean}; "loss" must be among them, and its total
        and weight must be sums over the rows of the batch;
    link(total, weight) -> the scalar that is minimised, for example sqrt(total / weight).
    """

    metrics: Callable[[Any, Any, Array, bool], Mapping[str, Mean]]
    link: Callable[[Array, Array], Array]


def init_state(params: Any, optimizer: optax.GradientTransformation) -> TrainState:
    """Return the state before the first step."""
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))


def train_step(
    state: TrainState,
    batch: Any,
    key: Array,
    *,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    chunks: int = 1,
    axis: str | None = None,
) -> tuple[TrainState, dict[str, Mean]]:
    """Take one optimiser step; return the new state and the metrics of the batch.

    The gradient of link(total, weight) is the slope of the link times the gradient of the total,
    so that totals and gradients can be summed over micro-batches (`chunks`, which keeps the
    activations in the cache of a CPU) and devices (`axis`) with the same result.
    Row b falls into chunk b % chunks: with rows sharded, every device takes part in every chunk.
    """
    key = jax.random.fold_in(key, state.step)

    def total(params: Any, part: Any) -> tuple[Array, Mapping[str, Mean]]:
        metrics = objective.metrics(params, part, key, True)
        return metrics["loss"].total, dict(metrics)

    def sums_of(part: Any) -> Any:
        (_, metrics), gradient = jax.value_and_grad(total, has_aux=True)(state.params, part)
        return gradient, metrics

    sums = sum_over_chunks(sums_of, batch, chunks)
    gradient, metrics = sum_over_devices(sums, axis)
    loss = metrics["loss"]
    slope = jax.grad(objective.link)(loss.total, loss.weight)
    slope = jnp.where(loss.weight > 0, slope, 0.0)  # a batch without any probe: no step
    gradient = jax.tree.map(lambda g: g * slope, gradient)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    metrics["gradient_norm"] = Mean(optax.tree.norm(gradient), jnp.ones(()))
    params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, opt_state), metrics


def eval_step(
    params: Any,
    batch: Any,
    key: Array,
    *,
    objective: Objective,
    chunks: int = 1,
    axis: str | None = None,
) -> dict[str, Mean]:
    """Return the metrics of a batch."""

    def sums_of(part: Any) -> dict[str, Mean]:
        return dict(objective.metrics(params, part, key, False))

    return sum_over_devices(sum_over_chunks(sums_of, batch, chunks), axis)


def sum_over_devices(tree: Any, axis: str | None) -> Any:
    """Return the sum over the devices of an axis, in one exchange; the tree itself without one.

    An exchange of each array by itself makes two processes on a CPU slower than one.
    """
    if axis is None:
        return tree
    flat, restore = ravel_pytree(tree)
    return restore(jax.lax.psum(flat, axis))


def sum_over_chunks(function: Callable[[Any], Any], batch: Any, chunks: int) -> Any:
    """Return the sum of `function` over the chunks of a batch, taken one after the other."""

    def split(x: Array) -> Array:
        return x.reshape(x.shape[0] // chunks, chunks, *x.shape[1:]).swapaxes(0, 1)

    def add(carry: Any, part: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, carry, function(part)), None

    if chunks == 1:
        return function(batch)
    parts = jax.tree.map(split, batch)
    shapes = jax.eval_shape(function, jax.tree.map(lambda x: x[0], parts))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.scan(add, zeros, parts)[0]
