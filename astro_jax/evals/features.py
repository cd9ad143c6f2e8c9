"""Hand-made features of light curves, with an estimated period: the bar that a network must beat.

Only time, magnitude and error of the curve itself go in: no id, position, catalogue period or
label.  The number of points is no feature either, nor any time of the survey, so that nothing but
the star is described; the median magnitude is one (drop it by its name where distances differ).
"""

import numpy as np

from astro_jax.data.curves import Curves
from astro_jax.data.periodogram import fourier_power
from astro_jax.data.periods import in_threads, prepare, search
from astro_jax.evals.folded import (
    HARMONICS,
    MINIMA,
    SHAPE,
    binned,
    fold,
    folded_shape,
    fourier_series,
    phase_difference,
    string_length,
    two_minima,
)

LARGEST = 1e6  # of the absolute value of a feature
SHORTEST_CURVE = 5  # points, below which a curve has its median magnitude only
CANDIDATES = 8  # periods asked for; the first RATIOS of them are features
RATIOS = 4
SLOW = 30.0  # days: variation that bins of this width keep is slow
PERCENTILES = (2.5, 5, 10, 20, 25, 35, 50, 65, 75, 80, 90, 95, 97.5)
NEAR = 1.5  # days: pairs of points at most that far apart show fast variation

VARIABILITY = (
    "median_mag",
    "std",
    "weighted_std",
    "skew",
    "kurtosis",
    "mean_offset",
    "mad",
    "iqr",
    "amplitude",
    "range",
    "spread_30",
    "spread_60",
    "spread_80",
    "asymmetry_50",
    "asymmetry_90",
    "faintest",
    "brightest",
    "near_median",
    "beyond_1_std",
    "beyond_2_std_faint",
    "beyond_2_std_bright",
)
ERRORS = ("median_error", "log_chi2", "signal_to_noise", "stetson_k", "stetson_j")
ORDER = (
    "von_neumann",
    "von_neumann_near",
    "steepest",
    "trend",
    "trend_share",
    "cumulative_range",
    "same_side",
    "slow_share",
)
PERIODIC = (
    "log_period",
    "log_significance",
    *(f"power_{h}" for h in range(1, HARMONICS + 1)),
    *(f"log_ratio_{k}" for k in range(2, RATIOS + 1)),
    *(f"power_ratio_{k}" for k in range(2, RATIOS + 1)),
    "alias",
    "log_period_sine",
    "power_sine",
)
SERIES = (
    "amplitude_1",
    "r_21",
    "r_31",
    "r_41",
    "phi_21_cos",
    "phi_21_sin",
    "phi_31_cos",
    "phi_31_sin",
    "fit_residual",
)
NAMES = (
    *VARIABILITY,
    *ERRORS,
    *ORDER,
    *PERIODIC,
    *SERIES,
    *SHAPE,
    *MINIMA,
    *(f"double_{name}" for name in (*MINIMA, "string_length")),
)


def features(curves: Curves, threads: int | None = None) -> tuple[list[str], np.ndarray]:
    """Return the names [F] and the values [N, F] float32 of the features of each curve.

    What a curve cannot tell is 0: all but `median_mag` below 5 points or without any variation,
    what needs errors where there are none, what needs a period where none is found.
    threads: how many curves at once, by default one a core.
    """

    def one(k: int) -> np.ndarray:
        part = slice(curves.offsets[k], curves.offsets[k + 1])
        return curve_features(curves.time[part], curves.mag[part], curves.magerr[part])

    values = np.array(in_threads(one, len(curves), threads), np.float32)
    return list(NAMES), values.reshape(-1, len(NAMES))


def curve_features(time: np.ndarray, mag: np.ndarray, magerr: np.ndarray) -> np.ndarray:
    """Return the features of one curve, [F] float64 in the order of `NAMES`; all finite."""
    values = np.zeros(len(NAMES))
    if not len(time):
        return values
    values[0] = np.median(mag)
    mag = mag.astype(float)
    if len(time) < SHORTEST_CURVE or not mag.std() > 1e-5:
        return values
    time, centred, weight = prepare(time, mag, magerr)
    with np.errstate(all="ignore"):
        parts = (
            variability(mag, weight)
            + error_features(mag, magerr, weight)
            + order_features(time, mag, weight)
        )
        parts += period_features(time, centred, weight)
    values[: len(parts)] = parts
    return np.clip(
        np.nan_to_num(values, nan=0.0, posinf=LARGEST, neginf=-LARGEST), -LARGEST, LARGEST
    )


def variability(mag: np.ndarray, weight: np.ndarray) -> list[float]:
    """Return `VARIABILITY`: statistics of the magnitudes alone.

    amplitude: half the central 95 %; spread_x: the central x % over the central 90 %;
    asymmetry_x: (upper + lower - 2 median) / (upper - lower) for the ends of the central x %;
    faintest, brightest: distance from the median in standard deviations; near_median: share of
    points within a tenth of the amplitude; beyond: shares of points.
    """
    p = dict(zip(PERCENTILES, np.percentile(mag, PERCENTILES), strict=True))
    median, std, mean = p[50], mag.std(), mag.mean()
    z = (mag - mean) / std
    amplitude = (p[97.5] - p[2.5]) / 2
    wide = p[95] - p[5]
    return [
        median,
        std,
        np.sqrt(weight @ (mag - weight @ mag) ** 2),
        (z**3).mean(),
        (z**4).mean() - 3,
        (mean - median) / std,
        np.median(np.abs(mag - median)),
        p[75] - p[25],
        amplitude,
        mag.max() - mag.min(),
        (p[65] - p[35]) / wide,
        (p[80] - p[20]) / wide,
        (p[90] - p[10]) / wide,
        (p[75] + p[25] - 2 * median) / (p[75] - p[25]),
        (p[95] + p[5] - 2 * median) / wide,
        (mag.max() - median) / std,
        (median - mag.min()) / std,
        (np.abs(mag - median) < 0.1 * amplitude).mean(),
        (np.abs(z) > 1).mean(),
        (z > 2).mean(),
        (z < -2).mean(),
    ]


def error_features(mag: np.ndarray, magerr: np.ndarray, weight: np.ndarray) -> list[float]:
    """Return `ERRORS`: magnitudes against their errors (Stetson 1996, PASP 108, 851).

    log_chi2: log10 of the reduced chi^2 of a constant; signal_to_noise: log10 of the standard
    deviation over the median error.  Without errors only the Stetson indices, with equal ones.
    """
    known = np.isfinite(magerr) & (magerr > 0)
    offset = mag - weight @ mag
    error = np.median(magerr[known]) if known.any() else 0.0
    scaled = offset / np.where(known, magerr, error) if known.any() else offset / mag.std()
    pairs = scaled[1:] * scaled[:-1]
    stetson = [
        np.abs(scaled).mean() / np.sqrt((scaled**2).mean()),
        (np.sign(pairs) * np.sqrt(np.abs(pairs))).mean(),
    ]
    if not known.any():
        return [0.0, 0.0, 0.0, *stetson]
    chi2 = (scaled**2).sum() / (len(mag) - 1)
    return [error, np.log10(chi2), np.log10(mag.std() / error), *stetson]


def order_features(time: np.ndarray, mag: np.ndarray, weight: np.ndarray) -> list[float]:
    """Return `ORDER`: statistics of the order of the points in time.

    von_neumann: mean square step between neighbours over the variance (von Neumann 1941), and
    that of neighbours at most 1.5 days apart; steepest: log10 of the 95th percentile of the slope
    between neighbours, mag / day; trend: mag / year of a straight line, and its share of the
    variance; cumulative_range: of the cumulative sum (Kim et al. 2011); same_side: share of three
    neighbours beyond one standard deviation on one side (Wozniak 2000); slow_share: share of the
    variance between bins of 30 days.
    """
    step, gap, variance = np.diff(mag), np.diff(time), mag.var()
    near = gap <= NEAR
    z = (mag - mag.mean()) / np.sqrt(variance)
    t = time - weight @ time
    slope = (weight * t) @ mag / ((weight * t) @ t)
    total = np.cumsum(z) / len(z)
    side = np.where(np.abs(z) > 1, np.sign(z), 0)
    cell = np.floor((time - time[0]) / SLOW).astype(int)
    count = np.bincount(cell)
    means = (np.bincount(cell, z) / np.maximum(count, 1))[cell]
    return [
        (step**2).mean() / variance,
        (step[near] ** 2).mean() / variance if near.any() else 0.0,
        np.log10(np.percentile(np.abs(step) / gap, 95) + 1e-6),
        slope * 365.25,
        slope**2 * ((weight * t) @ t) / variance,
        total.max() - total.min(),
        (np.abs(side[2:] + side[1:-1] + side[:-2]) == 3).mean(),
        (means**2).mean(),
    ]


def period_features(time: np.ndarray, mag: np.ndarray, weight: np.ndarray) -> list[float]:
    """Return `PERIODIC`, `SERIES` and the folded statistics, or nothing where no period is found.

    log_period: log10 days of the best candidate; power_h: share of the variance of 1 .. 4
    harmonics there; log_ratio_k, power_ratio_k: of the k-th candidate to the best; sine: the
    candidate where one harmonic explains most.
    """
    periods, power, significance, alias = search(time, mag, weight, CANDIDATES)
    if not np.isfinite(periods[0]):
        return []
    found = np.isfinite(periods)
    scaled = mag / np.sqrt(weight @ mag**2)
    each = fourier_power(time, scaled, weight, 1 / periods[found], np.zeros(1), HARMONICS)[:, 0]
    sine = int(each[:, 0].argmax())
    ratios = np.where(found, np.log10(np.where(found, periods, 1.0) / periods[0]), 0.0)
    out = [
        np.log10(periods[0]),
        np.log10(1 + max(significance[0], 0.0)),
        *each[0],
        *ratios[1:RATIOS],
        *(power / power[0])[1:RATIOS],
        alias[0],
        np.log10(periods[sine]),
        each[sine, 0],
    ]
    out += series_features(time, mag, weight, periods[0])
    for period in (periods[0], 2 * periods[0]):
        phase, folded = fold(time, mag, period)
        shape = binned(phase, folded)
        if period == periods[0]:
            out += folded_shape(phase, folded, shape)
        out += two_minima(shape)
    return [*out, string_length(folded)]


def series_features(
    time: np.ndarray, mag: np.ndarray, weight: np.ndarray, period: float
) -> list[float]:
    """Return `SERIES`: amplitudes and phases of the Fourier series at a period.

    amplitude_1 in magnitudes; r_h1 = A_h / A_1; phi_h1 = phi_h - h phi_1 (Simon and Lee 1981);
    fit_residual: weighted standard deviation of the rest over that of the curve.
    """
    c, fit = fourier_series(time, mag, weight, period)
    size = np.abs(c)
    phases = [phase_difference(c, h) for h in (2, 3)]
    return [
        size[0],
        *(size[1:] / size[0]),
        *(f(phase) for phase in phases for f in (np.cos, np.sin)),
        np.sqrt(weight @ (mag - fit) ** 2 / (weight @ mag**2)),
    ]
