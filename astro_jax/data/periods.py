"""Candidate periods of light curves: the best few peaks of a periodogram of each, refined.

Nothing but time, magnitude and error of the curve itself goes in, and the result for a curve does
not depend on the others.  Three steps: a fast scan over all frequencies; Fourier series with two
harmonics near the highest peaks of its power, and of its sum with the power at twice the frequency
(an eclipsing binary shows little at its own); four harmonics at the best of these and at half and
twice their frequency, ranked by evidence.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from astro_jax.data.curves import Curves
from astro_jax.data.periodogram import fourier_power, highest, rotation, scan
from astro_jax.errors import UserError

SHORTEST = 1 / 24  # days; high-amplitude delta Scuti stars reach down to about 0.04 (Drake 2014)
OVERSAMPLING = 2.5  # grid points per 1 / span: peaks lose at most 13 % before they are refined
PEAKS = 32  # of the scan
FINALISTS = 8
HARMONICS = 4
POINTS_PER_PARAMETER = 3  # a series with h harmonics has 2 h + 1
CYCLES = np.array([1.0, 1.0027379, 1 / 365.25])  # a day: solar, sidereal day, and the year
WINDOW = 0.3  # |sum_i w_i exp(2 pi i c t_i)| from which on the sampling follows a cycle c
ALIAS_WEIGHT = 0.7  # of the evidence near a cycle of the sampling; 0.5 to 1 give the same here


class Candidates(NamedTuple):
    """The P best periods of N curves, best first.

    periods: [N, P] float64, days; inf (frequency 0) where a curve has no further candidate
    power: [N, P] float32, share of the variance that the best series explains, 0 to 1
    significance: [N, P] float32, log evidence of the best series over a constant,
        (m / 2) ln(1 / (1 - power)) - h ln m with m points and h harmonics (BIC / 2, Schwarz 1978);
        near a cycle of the sampling times 0.7
    alias: [N, P] bool, near n cycles a day or one a year, or that much off a better candidate
    """

    periods: np.ndarray
    power: np.ndarray
    significance: np.ndarray
    alias: np.ndarray


def candidate_periods(
    curves: Curves,
    count: int = 6,
    *,
    shortest: float = SHORTEST,
    oversampling: float = OVERSAMPLING,
    threads: int | None = None,
) -> Candidates:
    """Return `count` candidate periods of each curve, from `shortest` (days) to its time span.

    threads: how many curves at once, by default one a core.  A curve with fewer than 9 points,
    constant magnitudes or no time span has none.  Raises UserError for impossible arguments.
    """
    if count < 1 or not shortest > 0 or not oversampling >= 1:
        raise UserError(
            f"count={count}, shortest={shortest}, oversampling={oversampling}: "
            "give at least 1, more than 0 days and at least 1"
        )

    def one(k: int) -> np.ndarray:
        part = slice(curves.offsets[k], curves.offsets[k + 1])
        curve = prepare(curves.time[part], curves.mag[part], curves.magerr[part])
        return search(*curve, count, 1 / shortest, oversampling)

    rows = np.array(in_threads(one, len(curves), threads)).reshape(-1, 4, count)
    return Candidates(
        rows[:, 0],
        rows[:, 1].astype(np.float32),
        rows[:, 2].astype(np.float32),
        rows[:, 3].astype(bool),
    )


def in_threads(function: Callable[[int], np.ndarray], size: int, threads: int | None) -> list:
    """Return [function(0) .. function(size - 1)]; the inner loops of numpy run side by side."""
    threads = threads or len(os.sched_getaffinity(0))
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, range(size)))


def prepare(
    time: np.ndarray, mag: np.ndarray, magerr: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times from the middle of the span, magnitudes of weighted mean 0, weights of sum 1.

    Weights are 1 / (error^2 + median error^2): a few very small errors, often underestimated, do
    not rule a fit.  An unknown error is the median one; without any, all weights are equal.
    """
    if not len(time):
        return np.zeros(0), np.zeros(0), np.zeros(0)
    known = np.isfinite(magerr)
    floor = float(np.median(magerr[known])) ** 2 if known.any() else 1.0
    square = np.where(known, magerr, 0.0).astype(float) ** 2
    weight = 1 / np.maximum(np.where(known, square, floor) + floor, 1e-12)
    weight /= weight.sum()
    mag = mag.astype(float)
    return time - (time[0] + time[-1]) / 2, mag - weight @ mag, weight


def search(
    time: np.ndarray,
    mag: np.ndarray,
    weight: np.ndarray,
    count: int,
    top: float = 1 / SHORTEST,
    oversampling: float = OVERSAMPLING,
) -> np.ndarray:
    """Return periods, power, significance and alias of one prepared curve, [4, count]."""
    found = np.zeros((4, count))
    found[0] = np.inf
    variance = float(weight @ mag**2)
    span = float(time[-1] - time[0]) if len(time) else 0.0
    if len(time) < 3 * POINTS_PER_PARAMETER or not variance > 1e-10 or not span > 0:
        return found
    mag = mag / np.sqrt(variance)
    step = 1 / (oversampling * span)
    power = scan(time, weight * mag, step, top)
    both = power[: (len(power) + 1) // 2] + power[::2]
    peaks = np.concatenate([highest(power, PEAKS), highest(both, PEAKS // 2)]) * step
    peaks = peaks[peaks * span >= 1]
    if not len(peaks):
        return found
    frequency, gain, _ = refine(time, mag, weight, peaks, 0.5 * step * np.linspace(-1, 1, 7), 2)
    best = frequency[apart(frequency, gain, 1 / span, FINALISTS)]
    more = np.concatenate([best, best / 2, best[:2] * 2])
    more = more[(more * span >= 1) & (more <= top)]
    fits = refine(time, mag, weight, more, 0.15 * step * np.linspace(-1, 1, 9), HARMONICS)
    return rank(*fits, span, sampling_cycles(time, weight), found)


def refine(
    time: np.ndarray,
    mag: np.ndarray,
    weight: np.ndarray,
    frequency: np.ndarray,
    shift: np.ndarray,
    harmonics: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the frequency of most evidence near each, that evidence, and the power, [F] each."""
    power = fourier_power(time, mag, weight, frequency, shift, harmonics)  # [F, J, H]
    gain = evidence(power, len(time))
    each = gain.reshape(len(frequency), -1)
    best = each.argmax(1)
    row = np.arange(len(frequency))
    power = power.reshape(each.shape)[row, best]
    return frequency + shift[best // harmonics], each[row, best], power


def evidence(power: np.ndarray, points: int) -> np.ndarray:
    """Return the log evidence over a constant of 1 .. H harmonics, [..., H] as `power`.

    -inf where a series has more than a third as many parameters as there are points.
    """
    h = np.arange(1, power.shape[-1] + 1)
    gain = -0.5 * points * np.log(np.maximum(1 - power, 1e-6)) - h * np.log(points)
    return np.where((2 * h + 1) * POINTS_PER_PARAMETER <= points, gain, -np.inf)


def apart(frequency: np.ndarray, score: np.ndarray, distance: float, count: int) -> np.ndarray:
    """Return the indices of the best `count`, best first, none within `distance` of a better."""
    kept: list[int] = []
    for k in np.argsort(-score, kind="stable"):
        if all(abs(frequency[k] - frequency[j]) > distance for j in kept):
            kept.append(int(k))
        if len(kept) == count:
            break
    return np.array(kept, int)


def rank(
    frequency: np.ndarray,
    score: np.ndarray,
    power: np.ndarray,
    span: float,
    cycles: np.ndarray,
    found: np.ndarray,
) -> np.ndarray:
    """Fill `found`, [4, count], with the best frequencies; cycles of the sampling count less."""
    near = near_cycle(frequency, cycles, 1.5 / span)
    score = np.where(near, ALIAS_WEIGHT * score, score)
    kept = apart(frequency, score, 1 / span, found.shape[1])
    best, alias = frequency[kept], near[kept]
    for i in range(1, len(best)):
        off = np.concatenate([np.abs(best[i] - best[:i]), best[i] + best[:i]])
        alias[i] |= near_cycle(off, cycles, 1 / span).any()
    found[:, : len(kept)] = 1 / best, power[kept], score[kept], alias
    return found


def sampling_cycles(time: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return those of `CYCLES` that the times follow and their span tells from others, [c]."""
    window = np.abs(rotation(np.outer(CYCLES, time)) @ weight)
    return CYCLES[(window > WINDOW) & (CYCLES * (time[-1] - time[0]) > 4)]


def near_cycle(frequency: np.ndarray, cycles: np.ndarray, tolerance: float) -> np.ndarray:
    """Tell frequencies within `tolerance` of 1, 2 ... times a daily cycle or of the year, [F] bool.

    All in cycles a day.
    """
    near = np.zeros(len(frequency), bool)
    for cycle in cycles:
        times = np.maximum(np.rint(frequency / cycle), 1) if cycle >= 1 else 1
        near |= np.abs(frequency - times * cycle) < tolerance
    return near
