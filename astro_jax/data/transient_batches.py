"""Batches of whole transients: the batch of a step is a function of (seed, step)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from astro_jax.data.pipeline import stream
from astro_jax.data.sampling import bits
from astro_jax.data.transient_rows import WINDOW, Rows

CUTS = (7, 8)  # streams of random numbers


class TransientBatches(NamedTuple):
    """The map step -> batch of training; picklable, so that worker processes can hold it.

    cut: share of rows whose curve is cut at a random time after the trigger, so that a network
        that is trained on its last step only learns to decide early
    """

    rows: Rows
    seed: int
    batch_size: int
    length: int
    cut: float = 0.0

    def __call__(self, step: int) -> dict:
        """Return the batch of a step: the next transients of an epoch, each once an epoch.

        A set of fewer transients than a batch fills it up with padding rows of weight 0.
        """
        size = len(self.rows)
        numbers = np.arange(min(self.batch_size, size), dtype=np.uint32)
        turn, which = stream(self.seed, int(step) * len(numbers), len(numbers), size)
        limit = draw_limits(self.seed, turn, which.astype(np.uint32), self.cut)
        return make_batch(self.rows, which, numbers, self.batch_size, self.length, limit)


def draw_limits(seed: int, turn: np.ndarray, which: np.ndarray, share: float) -> np.ndarray:
    """Draw the days since the trigger behind which rows are hidden, [B]; infinite for 1 - share."""
    chance, when = (bits(seed, turn, which, np.array([k], np.uint32)) / 2.0**32 for k in CUTS)
    return np.where(chance < share, when * WINDOW[1], np.inf)


def make_batch(
    rows: Rows,
    which: np.ndarray,
    numbers: np.ndarray,
    batch_size: int,
    length: int,
    limit: np.ndarray | float = np.inf,
) -> dict:
    """Return transients `which` as a batch of `batch_size` rows B, padded to `length` slots T.

    numbers: [.] from which dropout is drawn; limit: days since the trigger, one or one a transient,
    behind which rows are hidden
    photometry: values [B, T, 4], times [B, T] days since the trigger, mask [B, T] bool, True =
    observed; metadata: values [B, F], mask [B, F] bool, True = known; label [B] int32, -1 = none;
    row [B] uint32, the numbers; weight [B] float32, 0 in the rows behind the last transient.
    """
    count, missing = len(which), batch_size - len(which)
    which = np.pad(which.astype(np.int64), (0, missing))
    real = np.arange(batch_size) < count
    limit = np.pad(np.broadcast_to(limit, count), (0, missing))[:, None]
    slot = np.arange(length)
    mask = slot < np.where(real, rows.lengths[which], 0)[:, None]
    index = np.where(mask, rows.offsets[which][:, None] + slot, 0)
    mask &= rows.since[index] <= limit
    label, metadata, known = (rows.arrays[n][which] for n in ("label", "metadata", "known"))
    known = known & real[:, None]
    return {
        "photometry": {
            "values": np.where(mask[..., None], rows.values[index], np.float32(0)),
            "times": np.where(mask, rows.since[index], np.float32(0)),
            "mask": mask,
        },
        "metadata": {"values": np.where(known, metadata, np.float32(0)), "mask": known},
        "label": np.where(real, label, -1).astype(np.int32),
        "row": np.pad(numbers.astype(np.uint32), (0, missing)),
        "weight": real.astype(np.float32),
    }


def transient_batches(
    rows: Rows, batch_size: int, length: int, limit: float = np.inf
) -> Iterator[dict]:
    """Yield all transients in order; rows later than `limit` days since the trigger are hidden."""
    for first in range(0, len(rows), batch_size):
        which = np.arange(first, min(first + batch_size, len(rows)))
        yield make_batch(rows, which, which, batch_size, length, limit)


def padded_length(rows: Rows, step: int = 16) -> int:
    """Return the shortest length that holds every transient, a multiple of `step`."""
    return -(-int(rows.lengths.max(initial=1)) // step) * step
