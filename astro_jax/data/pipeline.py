"""Batches for training and evaluation, over Grain: the batch of a step is a function of the step.

The element of the Grain dataset is the whole batch: one vectorised gather over flat arrays is ten
times faster than a pipeline of single samples.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

import grain
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from astro_jax.data.curves import Curves
from astro_jax.data.resident import Resident, window_resident
from astro_jax.data.sampling import cursor, draw_curves, draw_starts
from astro_jax.data.windows import Windows, consecutive_windows, gather_windows

BLOCK = 4096  # places of the stream of curves that are drawn at once


class Feed(NamedTuple):
    """How a kind of data comes to the loop as batches; `config` is that of the training.

    train(config, data) -> the map step -> batch, picklable; valid(config, data) -> an iterator over
    the batches of an evaluation, the same ones at each call; resident(config, data) -> the same
    batches as `train`, drawn on the device, where the kind of data knows how.
    """

    train: Callable[[ConfigDict, Any], Callable[[int], dict]]
    valid: Callable[[ConfigDict, Any], Iterator[dict]]
    resident: Callable[[ConfigDict, Any], Resident] | None = None


class TrainBatches(NamedTuple):
    """The map step -> batch; picklable, so that worker processes can hold it."""

    curves: Curves
    seed: int
    batch_size: int
    window: int

    def __call__(self, step: int) -> dict:
        """Return the batch of a step: one random window of each of the next curves of an epoch.

        A survey of fewer curves than a batch fills it up with padding rows of weight 0.
        """
        size = len(self.curves)
        rows = np.arange(min(self.batch_size, size), dtype=np.uint32)
        turn, curve = stream(self.seed, int(step) * len(rows), len(rows), size)
        lengths = self.curves.offsets[curve + 1] - self.curves.offsets[curve]
        start = draw_starts(self.seed, turn, curve.astype(np.uint32), lengths, self.window)
        windows = Windows(curve, start.astype(np.int64), np.minimum(lengths, self.window))
        return make_batch(self.curves, windows, rows, self.batch_size, self.window)


def stream(seed: int, first: int, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (epoch [count] uint32, which [count] int64) of the stream over `size` curves."""
    blocks = range(first // BLOCK, (first + count - 1) // BLOCK + 1)
    turn, which = (
        np.concatenate(p) for p in zip(*(_block(seed, b, size) for b in blocks), strict=True)
    )
    part = slice(first - blocks[0] * BLOCK, first - blocks[0] * BLOCK + count)
    return turn[part], which[part]


@lru_cache(maxsize=64)
def _block(seed: int, number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    # The few hundred numpy calls of a permutation cost as much for 64 curves as for a thousand.
    turn, which = draw_curves(
        seed, *cursor(number, BLOCK, size), np.arange(BLOCK, dtype=np.uint32), size
    )
    return turn, which.astype(np.int64)


def make_batch(
    curves: Curves, windows: Windows, rows: np.ndarray, batch_size: int, window: int
) -> dict:
    """Return windows as a batch of `batch_size` rows B; rows behind the last have weight 0.

    photometry: see `gather_windows`; row [B] uint32, the number from which the probes are drawn;
    weight [B] float32; and the `arrays` of the curves, [B, ...] each.
    """
    missing = batch_size - len(rows)
    windows = Windows(*(np.pad(part, (0, missing)) for part in windows))
    return {
        "photometry": gather_windows(curves, windows, window),
        "row": np.pad(rows.astype(np.uint32), (0, missing)),
        "weight": (np.arange(batch_size) < len(rows)).astype(np.float32),
        **{name: values[windows.curve] for name, values in curves.arrays.items()},
    }


def train_iterator(batches: TrainBatches, start: int, stop: int, workers: int = 0) -> Iterator:
    """Iterate over the batches of the steps start .. stop - 1, prepared ahead.

    workers: 0 = threads of this process; more = that many processes (they take seconds to start).
    The batches are the same for any number.
    """
    dataset = grain.MapDataset.range(start, stop).map(batches)
    ahead = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    dataset = dataset.to_iter_dataset(ahead)
    if workers:
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # Grain's workers read flags, also in a notebook
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers), partial(end_with, os.getpid())
        )
    return iter(dataset)


def end_with(parent: int, *_: int) -> None:
    """Let this worker process end within a second of its parent, however that ended.

    A parent that was killed cannot end its workers, which would wait for it forever.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def eval_batches(curves: Curves, windows: Windows, batch_size: int, window: int) -> Iterator[dict]:
    """Yield all windows in order; the number of a window is its row, so probes never change."""
    for first in range(0, len(windows.curve), batch_size):
        part = Windows(*(column[first : first + batch_size] for column in windows))
        rows = np.arange(first, first + len(part.curve))
        yield make_batch(curves, part, rows, batch_size, window)


def spread(windows: Windows, most: int) -> Windows:
    """Return `most` windows evenly spaced over all of them (0 = all)."""
    count = len(windows.curve)
    if not 0 < most < count:
        return windows
    keep = np.arange(most) * count // most
    return Windows(*(column[keep] for column in windows))


def window_train(config: ConfigDict, curves: Curves) -> TrainBatches:
    """Return the random windows of training."""
    return TrainBatches(curves, config.seed, config.batch_size, config.window)


def window_valid(config: ConfigDict, curves: Curves) -> Iterator[dict]:
    """Yield the windows of an evaluation, at most `config.eval_windows` of them."""
    windows = spread(consecutive_windows(curves.lengths, config.window), config.eval_windows)
    return eval_batches(curves, windows, config.batch_size, config.window)


WINDOWS = Feed(window_train, window_valid, window_resident)
