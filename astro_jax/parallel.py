"""Devices: one step function compiled for one device, for a mesh, or for pmap."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from astro_jax.errors import UserError, suggest
from astro_jax.step import Objective, eval_step, train_step

AXIS = "data"
MODES = ("jit", "pmap", "sharded")


class Compiled(NamedTuple):
    """The two steps, and how states and batches come to the devices and back."""

    train: Callable  # (state, batch, key) -> (state, metrics); the state is donated
    evaluate: Callable  # (params, batch, key) -> metrics
    place_state: Callable  # host state -> on the devices
    place_batch: Callable  # host batch -> on the devices
    fetch: Callable  # state or metrics on the devices -> one copy


def compile_steps(
    objective: Objective,
    optimizer: Any,
    batch_size: int,
    mode: str = "jit",
    micro_batch: int = 0,
    draw: Callable | None = None,
    at_once: int = 1,
) -> Compiled:
    """Compile the train and the evaluation step.

    mode: "jit" one device; "sharded" jit over a mesh of all devices, rows split; "pmap" the same
        with one program a device.  The result is the same in all three.
    micro_batch: rows of a device that go through the network at once; 0 chooses: 16 on CPU
        (the activations stay in the cache), all of them elsewhere.
    draw: of a data set on the device (`data.resident`): the train step then takes {"data", "at"}
        instead of a batch, takes `at_once` steps, and returns the metrics of each, [at_once]
    """
    if mode not in MODES:
        raise UserError(f"config.mode '{mode}' is unknown{suggest(mode, MODES)}")
    devices = 1 if mode == "jit" else jax.device_count()
    if batch_size % devices:
        raise UserError(f"config.batch_size={batch_size} is not a multiple of {devices} devices")
    rows = batch_size // devices
    chunks = rows // largest_divisor(rows, micro_batch or (16 if on_cpu() else rows))
    axis = None if mode == "jit" else AXIS
    train = partial(train_step, objective=objective, optimizer=optimizer, chunks=chunks, axis=axis)
    evaluate = partial(eval_step, objective=objective, chunks=chunks, axis=axis)
    if mode == "pmap":
        return _pmap(train, evaluate)
    return {"jit": _jit, "sharded": _sharded}[mode](train, evaluate, draw, at_once)


def drawn_steps(
    state: Any, source: Any, key: jax.Array, *, train: Callable, draw: Callable, at_once: int
) -> tuple[Any, Any]:
    """Take `at_once` steps, each on the batch that it draws; return the metrics of all."""

    def step(state: Any, k: jax.Array) -> tuple[Any, Any]:
        return train(state, draw(source["data"], source["at"], k), key)

    return jax.lax.scan(step, state, jax.numpy.arange(at_once))


def on_cpu() -> bool:
    """Say whether the default device is a CPU."""
    return jax.default_backend() == "cpu"


def largest_divisor(number: int, limit: int) -> int:
    """Return the largest divisor of `number` that is at most `limit`."""
    return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)


def _jit(train: Callable, evaluate: Callable, draw: Callable | None, at_once: int) -> Compiled:
    if draw is not None:
        train = partial(drawn_steps, train=train, draw=draw, at_once=at_once)
    return Compiled(
        jax.jit(train, donate_argnums=0), jax.jit(evaluate), jax.device_put, jax.device_put, _same
    )


def _sharded(train: Callable, evaluate: Callable, draw: Callable | None, at_once: int) -> Compiled:
    mesh = jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))
    everywhere = NamedSharding(mesh, PartitionSpec())
    by_row = NamedSharding(mesh, PartitionSpec(AXIS))
    specs = (PartitionSpec(), PartitionSpec(AXIS), PartitionSpec())
    train, evaluate = (
        jax.shard_map(step, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False)
        for step in (train, evaluate)
    )
    if draw is not None:

        def split(*arguments: Any) -> Any:
            return jax.lax.with_sharding_constraint(draw(*arguments), by_row)

        train = partial(drawn_steps, train=train, draw=split, at_once=at_once)
    return Compiled(
        jax.jit(
            train,
            donate_argnums=0,
            in_shardings=(everywhere, everywhere if draw else by_row, everywhere),
            out_shardings=everywhere,
        ),
        jax.jit(evaluate, in_shardings=(everywhere, by_row, everywhere), out_shardings=everywhere),
        lambda state: _placed(state, everywhere),
        lambda batch: _placed(batch, by_row),
        _same,
    )


def _placed(tree: Any, sharding: NamedSharding) -> Any:
    """Place arrays that every process holds whole; its devices take their rows of them."""
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def place(x: Any) -> jax.Array:
        host = np.asarray(x)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(place, tree)


def _pmap(train: Callable, evaluate: Callable) -> Compiled:
    devices = jax.device_count()

    def split(batch: Any) -> Any:
        return jax.tree.map(lambda x: x.reshape(devices, -1, *x.shape[1:]), batch)

    def replicate(state: Any) -> Any:
        return jax.tree.map(lambda x: np.stack([np.asarray(x)] * devices), state)

    return Compiled(
        jax.pmap(train, AXIS, in_axes=(0, 0, None), donate_argnums=0),
        jax.pmap(evaluate, AXIS, in_axes=(0, 0, None)),
        replicate,
        split,
        lambda tree: jax.tree.map(lambda x: x[0], tree),
    )


def _same(tree: Any) -> Any:
    return tree
