"""What a light curve shows at a period: its Fourier series and its shape when folded."""

import numpy as np

HARMONICS = 4
BINS = 20  # of phase, for the folded shape
RIDGE = 1e-6  # of the normal equations, as in data.periodogram


def fourier_series(
    time: np.ndarray, mag: np.ndarray, weight: np.ndarray, period: float, harmonics: int = HARMONICS
) -> tuple[np.ndarray, np.ndarray]:
    """Return the complex amplitudes c_1 .. c_H of a least-squares Fourier series, and the fit [n].

    mag = mean + sum_h Re(c_h exp(-2 pi i h t / P)): |c_h| is the amplitude of harmonic h in
    magnitudes, and arg c_h its phase at t = 0.
    """
    angle = 2 * np.pi * (time / period % 1.0)[:, None] * np.arange(1, harmonics + 1)
    design = np.concatenate([np.ones((len(time), 1)), np.cos(angle), np.sin(angle)], axis=1)
    weighted = design.T * weight
    normal = weighted @ design + RIDGE * np.eye(design.shape[1])
    solution = np.linalg.solve(normal, weighted @ mag)
    c = solution[1 : harmonics + 1] + 1j * solution[harmonics + 1 :]
    return c, design @ solution


def phase_difference(c: np.ndarray, h: int) -> float:
    """Return phi_h1 = phi_h - h phi_1, radians in [0, 2 pi) (Simon and Lee 1981, cosine series)."""
    return float(-(np.angle(c[h - 1]) - h * np.angle(c[0])) % (2 * np.pi))


def fold(time: np.ndarray, mag: np.ndarray, period: float) -> tuple[np.ndarray, np.ndarray]:
    """Return phases in [0, 1), ascending, and the magnitudes in that order, [n] each."""
    phase = time / period % 1.0
    order = np.argsort(phase, kind="stable")
    return phase[order], mag[order]


def string_length(mag: np.ndarray) -> float:
    """Return the mean absolute step between neighbours in phase, over the standard deviation.

    mag: [n], in order of phase; near 1.13 for white noise, small for a smooth curve (Lafler and
    Kinman 1965, with absolute instead of squared steps, which outliers rule less).
    """
    return float(np.abs(np.diff(mag, append=mag[0])).mean() / mag.std())


def folded_eta(mag: np.ndarray) -> float:
    """Return the mean square step between neighbours in phase over the variance, 2 for noise."""
    return float((np.diff(mag, append=mag[0]) ** 2).mean() / mag.var())


def binned(phase: np.ndarray, mag: np.ndarray) -> np.ndarray:
    """Return the median magnitude in 20 bins of phase, [20], empty bins interpolated.

    phase: [n] in [0, 1), ascending.
    """
    place = np.minimum((phase * BINS).astype(int), BINS - 1)
    mag = mag[np.lexsort((mag, place))]
    count = np.bincount(place, minlength=BINS)
    full = np.flatnonzero(count)
    first = (np.cumsum(count) - count)[full]
    half = (count[full] - 1) / 2
    middle = (mag[first + np.floor(half).astype(int)] + mag[first + np.ceil(half).astype(int)]) / 2
    return np.interp(np.arange(BINS), full, middle, period=BINS)


SHAPE = (
    "string_length",
    "folded_eta",
    "folded_range",
    "folded_skew",
    "faint_share",
    "bright_share",
    "rise",
    "folded_scatter",
)


def folded_shape(phase: np.ndarray, mag: np.ndarray, shape: np.ndarray) -> list[float]:
    """Return the statistics `SHAPE` of a folded curve (`fold`) and its phase bins (`binned`).

    string_length, folded_eta: smoothness; then of the bins: range (magnitudes), skewness, share
    in the fainter and in the brighter quarter of the range, and phase from the brightest to the
    faintest; folded_scatter: mean distance of the points from their bin over the standard
    deviation.
    """
    low, high = shape.min(), shape.max()
    level = (shape - low) / max(high - low, 1e-9)
    centred = shape - shape.mean()
    residual = mag - shape[np.minimum((phase * BINS).astype(int), BINS - 1)]
    return [
        string_length(mag),
        folded_eta(mag),
        float(high - low),
        float((centred**3).mean() / max(centred.std() ** 3, 1e-12)),
        float((level > 0.75).mean()),
        float((level < 0.25).mean()),
        float((shape.argmax() - shape.argmin()) % BINS / BINS),
        float(np.abs(residual).mean() / mag.std()),
    ]


MINIMA = ("minima_ratio", "maxima_difference", "minima_distance")


def two_minima(shape: np.ndarray) -> list[float]:
    """Return the statistics `MINIMA` of phase bins, as of the two eclipses of a binary.

    The cycle starts at its faintest bin; the second minimum is the faintest between phase 0.25 and
    0.75.  minima_ratio: its depth over that of the first, below the brightest bin (1: alike, 0:
    none); maxima_difference: of the brightest bins of both halves, over the range;
    minima_distance: phase of the second.
    """
    shape = np.roll(shape, -int(shape.argmax()))
    width = max(shape[0] - shape.min(), 1e-9)
    second = BINS // 4 + int(shape[BINS // 4 : 3 * BINS // 4 + 1].argmax())
    tops = shape[: BINS // 2].min(), shape[BINS // 2 :].min()
    return [
        float((shape[second] - shape.min()) / width),
        float((tops[0] - tops[1]) / width),
        second / BINS,
    ]
