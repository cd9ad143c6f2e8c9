"""Windows of curves through a model: in batches, in buckets of length, ahead of what is read."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from astro_jax.data.curves import Curves
from astro_jax.data.windows import Windows, gather_windows, window_index
from astro_jax.errors import UserError
from astro_jax.models.astromer import Record
from astro_jax.parallel import on_cpu
from astro_jax.weights import Run

Pick = Callable[[Record, Mapping], jax.Array]
BUCKETS = 4  # lengths that windows are padded to: quarters of the whole
FEWEST = 256  # windows of a bucket; compiling one takes a CPU as long as about so many
AHEAD = 2  # batches that are computed before the first is read


class Output(NamedTuple):
    """What comes out of a batch of n windows, [n, ...] each.

    which: their numbers; photometry: times, values, mask and hidden, centred; mean: [n, 1] of the
    visible magnitudes, NaN if none; value: the output of the model
    """

    which: np.ndarray
    photometry: dict[str, np.ndarray]
    mean: np.ndarray
    value: np.ndarray


def outputs(
    run: Run,
    name: str | Pick,
    curves: Curves,
    hidden: np.ndarray,
    windows: Windows,
    length: int,
    batch_size: int | None,
) -> Iterator[Output]:
    """Yield an output of the model for all windows, by batches, short windows first.

    name: of the output in the record that the model returns, or a function of record and batch;
        nothing else is computed.
    A model of `any_length` gets windows padded to the next of a few lengths, others to `length`.
    """
    usual = 16 if on_cpu() else 1024  # on a CPU the activations of 16 stay in the cache
    batch_size = at_least_1("batch_size", usual if batch_size is None else batch_size)
    apply, params = _compiled(run.model, name), jax.device_put(run.params)
    pending: deque = deque()
    for slots, which in buckets(run.model, windows.size, length):
        for first in range(0, len(which), batch_size):
            rows = which[first : first + batch_size]
            part = Windows(*(column[rows] for column in windows))
            photometry = gather_windows(curves, part, slots)
            index, mask = window_index(curves, part, slots)
            photometry["hidden"] = hidden[index] & mask
            mean = _centre(photometry)
            arrays = {name: values[part.curve] for name, values in curves.arrays.items()}
            batch = {"photometry": photometry, **arrays}
            batch = jax.tree.map(lambda x: _pad_rows(x, batch_size), batch)
            pending.append(Output(rows, photometry, mean, apply(params, batch)))
            if len(pending) > AHEAD:
                yield _read(pending.popleft())
    yield from map(_read, pending)


def _read(output: Output) -> Output:
    return output._replace(value=np.asarray(output.value)[: len(output.which)])


def buckets(model: Any, size: np.ndarray, length: int) -> list[tuple[int, np.ndarray]]:
    """Return (padded length, numbers of the windows) of windows of `size` [W], all of them once.

    Fewer than FEWEST windows go into the next longer bucket.
    """
    if not getattr(model, "any_length", False):
        return [(length, np.arange(len(size)))]
    found, rest = [], np.zeros(0, int)
    edges = [-(-length * k // BUCKETS) for k in range(BUCKETS + 1)]
    for shorter, slots in zip(edges, edges[1:], strict=False):
        mine = np.concatenate([rest, np.flatnonzero((size > shorter) & (size <= slots))])
        few = len(mine) < FEWEST and slots < length
        found += [] if few else [(slots, np.sort(mine))]
        rest = mine if few else mine[:0]
    return found


def at_least_1(name: str, value: int) -> int:
    """Return a number; UserError, with its name, where it is below 1."""
    if value < 1:
        raise UserError(f"{name}={value} must be at least 1")
    return value


def _centre(photometry: dict[str, np.ndarray]) -> np.ndarray:
    """Subtract the mean of the visible magnitudes of each window in place; return it, [W, 1]."""
    visible = photometry["mask"] & ~photometry["hidden"]
    mag = photometry["values"][..., 0]
    count = visible.sum(1, keepdims=True)
    mean = np.where(visible, mag, 0.0).sum(1, keepdims=True) / np.maximum(count, 1)
    mag[...] = np.where(photometry["mask"], mag - mean, 0.0)
    return np.where(count > 0, mean, np.nan)


@lru_cache(maxsize=8)
def _compiled(model: Any, name: str | Pick) -> Callable:
    pick = name if callable(name) else lambda record, batch: record[name]
    return jax.jit(lambda params, batch: pick(model.apply({"params": params}, batch), batch))


def _pad_rows(x: np.ndarray, rows: int) -> np.ndarray:
    return np.pad(x, [(0, rows - len(x))] + [(0, 0)] * (x.ndim - 1))


def by_observation(windows: Windows, pieces: Iterable[tuple], empty: np.ndarray) -> np.ndarray:
    """Return one row an observation, in the order of the windows.

    pieces: (numbers of the windows [n], mask [n, T], values [n, T, ...]); empty: what to return
    where there are none, [0, ...]
    """
    first = np.cumsum(windows.size) - windows.size
    rows = empty
    for which, mask, values in pieces:
        if not len(rows):
            rows = np.empty((int(windows.size.sum()), *empty.shape[1:]), np.float32)
        place = first[which][:, None] + np.arange(mask.shape[1])
        rows[place[mask]] = values[mask]
    return rows
