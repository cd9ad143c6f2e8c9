"""Windows: the pieces of fixed length in which a network sees a curve."""

from typing import NamedTuple

import numpy as np

from astro_jax.data.curves import Curves
from astro_jax.errors import UserError


class Windows(NamedTuple):
    """W windows; window w is `size` observations of curve `curve` from `start` on; all [W]."""

    curve: np.ndarray
    start: np.ndarray
    size: np.ndarray


def consecutive_windows(lengths: np.ndarray, window: int) -> Windows:
    """Cut each curve into windows one after the other, the last one shorter, none twice."""
    count = -(-np.asarray(lengths) // window)
    curve, turn = _turns(count)
    start = turn * window
    return Windows(curve, start, np.minimum(lengths[curve] - start, window))


def official_windows(lengths: np.ndarray, window: int) -> Windows:
    """Cut curves as the released code does: starts 0, L, .. floor(n / L) L, each at most n - L.

    A curve of n observations has floor(n / L) + 1 windows: one where it is shorter than L; else the
    last overlaps the one before it (or is it again, where n is a multiple of L, L itself too).
    """
    lengths = np.asarray(lengths)
    count = np.where(lengths > 0, lengths // window + 1, 0)
    curve, turn = _turns(count)
    room = np.maximum(lengths[curve] - window, 0)
    return Windows(curve, np.minimum(turn * window, room), np.minimum(lengths[curve], window))


def at_most(windows: Windows, most: int) -> Windows:
    """Return at most `most` windows of each curve, evenly spaced over it (0 = all)."""
    if most < 0:
        raise UserError(f"windows={most} must be at least 0 (0: all windows of a curve)")
    if not most:
        return windows
    count = np.bincount(windows.curve, minlength=1)
    first = np.cumsum(count) - count
    turn = np.arange(len(windows.curve)) - first[windows.curve]
    total = count[windows.curve]
    few = np.minimum(total, most)
    # window t is kept where t * few / total passes a whole number
    keep = (turn * few) % total < few
    return Windows(*(column[keep] for column in windows))


def _turns(count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    curve = np.repeat(np.arange(len(count)), count)
    first = np.cumsum(count) - count
    return curve, np.arange(len(curve)) - first[curve]


def gather_windows(curves: Curves, windows: Windows, length: int) -> dict[str, np.ndarray]:
    """Return the photometry of W windows, padded to `length` observations T.

    times [W, T] float32 days, minus the mean of the window, taken in float64 (a float32 MJD is off
    by up to 5.6 minutes); values [W, T, 2] float32 magnitude and error (0 = unknown);
    mask [W, T] bool, True = observed; all zero at padding.
    """
    index, mask = window_index(curves, windows, length)
    time = np.where(mask, curves.time[index], 0.0)
    mean = time.sum(1, keepdims=True) / np.maximum(windows.size, 1)[:, None]
    magerr = np.nan_to_num(curves.magerr[index], nan=0.0)
    values = np.stack([curves.mag[index], magerr], axis=-1)
    return {
        "times": np.where(mask, time - mean, 0.0).astype(np.float32),
        "values": np.where(mask[..., None], values, 0.0).astype(np.float32),
        "mask": mask,
    }


def window_index(curves: Curves, windows: Windows, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the observations of W windows stand in the flat arrays, and the mask [W, T]."""
    slot = np.arange(length)
    mask = slot < windows.size[:, None]
    first = curves.offsets[windows.curve] + windows.start
    return np.where(mask, first[:, None] + slot, 0), mask
