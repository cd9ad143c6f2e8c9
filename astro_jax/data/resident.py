"""A data set that lives on the device: windows are drawn and cut inside the jitted step.

The curves are flat arrays on the device, 16 bytes an observation; a batch is made there by the same
pure functions of (seed, step) that the host uses (`data.sampling`), so that nothing but a cursor
crosses over in a step.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from astro_jax.data.curves import Curves
from astro_jax.data.sampling import cursor, draw_curves, draw_starts

SHARE = 0.5  # of the memory of a device that data may take


class Resident(NamedTuple):
    """Arrays for the device, and the batch of a step from them.

    cursor(step) -> where the step begins, two uint32; draw(arrays, cursor, k) -> the batch of the
    k-th step from there on, pure.
    """

    arrays: dict[str, Any]
    cursor: Callable[[int], dict[str, np.ndarray]]
    draw: Callable[[Mapping, Mapping, Array], dict]


def window_resident(config: ConfigDict, curves: Curves) -> Resident:
    """Return the random windows of training (`pipeline.TrainBatches`) as drawn on the device."""
    day = np.floor(curves.time)
    arrays = {
        # float32 alone would move an observation by minutes: whole days, and the rest of the day
        "day": day.astype(np.int32),
        "part": (curves.time - day).astype(np.float32),
        "mag": curves.mag,
        "magerr": np.nan_to_num(curves.magerr, nan=0.0),
        "offsets": curves.offsets.astype(np.int32),
        "arrays": dict(curves.arrays),
    }
    rows = min(config.batch_size, len(curves))

    def at(step: int) -> dict[str, np.ndarray]:
        epoch, position = cursor(step, rows, len(curves))
        return {"epoch": np.uint32(epoch), "position": np.uint32(position)}

    draw = partial(draw_batch, seed=config.seed, batch_size=config.batch_size, window=config.window)
    return Resident(arrays, at, draw)


def fits(data: Curves) -> bool:
    """Say whether the device tells its memory, and the data take less than half of it."""
    memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", 0)
    return len(data.time) < 2**31 and 16 * len(data.time) < SHARE * memory


def draw_batch(
    arrays: Mapping[str, Any],
    at: Mapping[str, Array],
    k: Array,
    *,
    seed: int,
    batch_size: int,
    window: int,
) -> dict:
    """Return the batch of the k-th step behind a cursor, as `pipeline.TrainBatches` makes it."""
    offsets = arrays["offsets"]
    size = offsets.shape[0] - 1
    rows = np.arange(min(batch_size, size), dtype=np.uint32)
    position = at["position"] + k.astype(jnp.uint32) * np.uint32(len(rows))
    turn, curve = draw_curves(seed, at["epoch"], position, rows, size)
    lengths = offsets[curve + 1] - offsets[curve]
    start = draw_starts(seed, turn, curve, lengths, window).astype(jnp.int32)
    pad = (0, batch_size - len(rows))
    first = jnp.pad(offsets[curve] + start, pad)
    count = jnp.pad(jnp.minimum(lengths, window), pad)
    curve = jnp.pad(curve, pad)
    slot = jnp.arange(window)
    mask = slot < count[:, None]
    index = jnp.where(mask, first[:, None] + slot, 0)
    values = jnp.stack([arrays["mag"][index], arrays["magerr"][index]], axis=-1)
    photometry = {
        "times": centred(arrays["day"][index], arrays["part"][index], mask),
        "values": jnp.where(mask[..., None], values, 0.0),
        "mask": mask,
    }
    return {
        "photometry": photometry,
        "row": jnp.pad(jnp.asarray(rows), pad),
        "weight": (jnp.arange(batch_size) < len(rows)).astype(jnp.float32),
        **{name: values[curve] for name, values in arrays["arrays"].items()},
    }


def centred(day: Array, part: Array, mask: Array) -> Array:
    """Return times less their mean, [B, T] float32 days, 0 at padding, without a float64.

    day: [B, T] int32 whole days; part: [B, T] the rest of the day.  The mean of the days is taken
    in whole numbers, so that only the last sum is rounded.
    """
    count = jnp.maximum(mask.sum(1, keepdims=True), 1)
    ahead = jnp.where(mask, day - day[:, :1], 0)
    total = ahead.sum(1, keepdims=True)
    whole = total // count
    rest = (total - whole * count) / count + jnp.where(mask, part, 0.0).sum(
        1, keepdims=True
    ) / count
    return jnp.where(mask, (ahead - whole).astype(jnp.float32) + (part - rest), 0.0)
