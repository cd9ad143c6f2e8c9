"""Which curve, which window, which probes: pure functions of (seed, step, row).

The same arithmetic runs on numpy and on jax arrays (uint32, which wraps), so that a loader on the
host and a data set resident on an accelerator draw the same batch, whatever the worker count,
the sharding or the micro-batch.
"""

from typing import Any

import numpy as np

Array = Any  # numpy or jax
ROUNDS = 24


def mix(x: Array) -> Array:
    """Scramble uint32 (a finalizer of two multiplications and three shifts, bijective)."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def bits(seed: int, *counters: Array) -> Array:
    """Return 32 random bits, uint32, for a seed and counters (arrays of uint32 that broadcast)."""
    # One-element arrays, not scalars: numpy warns when a scalar wraps.
    state = mix(np.array([seed & 0xFFFFFFFF], np.uint32) + np.uint32(0x9E3779B9))
    for counter in counters:
        state = mix(state ^ mix(counter + np.uint32(0x9E3779B9)))
    return state


def permute(seed: int, epoch: Array, position: Array, size: int) -> Array:
    """Return where `position` stands in the random order of 0 .. size - 1 of an epoch.

    Swap-or-not (Hoang, Morris and Rogaway 2012): each round pairs x with k - x (mod size) and
    swaps the pair or not by one random bit; a bijection for every size, without a table.
    """
    size32 = np.uint32(size)
    x = position
    for r in range(ROUNDS):
        k = bits(seed, epoch, np.array([2 * r], np.uint32)) % size32
        partner = (k + size32 - x) % size32
        larger = x + (partner - x) * (partner > x)  # maximum, for numpy and jax alike
        swap = bits(seed, epoch, np.array([2 * r + 1], np.uint32), larger) & np.uint32(1)
        x = swap * partner + (np.uint32(1) - swap) * x
    return x


def cursor(step: int, batch_size: int, size: int) -> tuple[int, int]:
    """Return (epoch, position) of the first row of a step in the endless stream of epochs."""
    return divmod(step * batch_size, size)


def draw_windows(
    seed: int, epoch: int, position: int, rows: Array, lengths: Array, window: int
) -> tuple[Array, Array]:
    """Return (curve, start) of the rows of a step: one random contiguous window a curve.

    epoch, position: `cursor` of the step; rows: [B] uint32, the row in the batch; lengths: [N]
    observations of each curve.  The start is uniform over 0 .. n - window; a shorter curve is
    taken whole.  Every curve is drawn once an epoch; a batch runs on into the next epoch.
    """
    turn, curve = draw_curves(seed, epoch, position, rows, lengths.shape[0])
    return curve, draw_starts(seed, turn, curve, lengths[curve], window)


def draw_curves(
    seed: int, epoch: Array, position: Array, rows: Array, size: int
) -> tuple[Array, Array]:
    """Return (epoch, curve) of rows [B] uint32 behind a cursor in a stream over `size` curves."""
    ahead = rows + position
    turn = ahead // np.uint32(size) + epoch
    return turn, permute(seed, turn, ahead % np.uint32(size), size)


def draw_starts(seed: int, turn: Array, curve: Array, lengths: Array, window: int) -> Array:
    """Return where the windows of curves start, [B] uint32; lengths: [B], of these curves."""
    room = lengths - window
    choices = (room * (room > 0)).astype(np.uint32) + np.uint32(1)
    return bits(seed, turn, curve, np.array([99], np.uint32)) % choices
