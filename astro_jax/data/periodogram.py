"""Periodograms of one unevenly sampled curve: a fast scan, and exact fits of Fourier series.

Times are in days, frequencies in cycles a day, weights sum to 1.
"""

from functools import lru_cache

import numpy as np
import scipy.fft

WIDTH = 6  # cells, of the spreading kernel
PADDING = 1.35  # of the FFT; with 6 cells the power is right to better than 0.1 % of the highest
BETA = 0.976 * np.pi * WIDTH * (1 - 1 / (2 * PADDING))  # Barnett et al. 2019, sections 3.1 and 3.2


def scan(time: np.ndarray, signal: np.ndarray, step: float, top: float) -> np.ndarray:
    """Return 2 |sum_i signal_i exp(-2 pi i f t_i)|^2 at f = 0, step, 2 step .. top, [K] float32.

    With signal = weight * magnitude, mean 0 and variance 1, that is about the share of the
    variance that a sinusoid explains (Schuster 1898; floating mean and phase-dependent
    normalisation, which matter near 0 and near cycles a day, are left to `fourier_power`).
    A non-uniform FFT (Dutt and Rokhlin 1993) with the kernel of Barnett et al. (2019).
    """
    modes = int(top / step) + 1
    size = fft_size(2 * PADDING * modes)
    place = (time * step % 1.0) * size
    cell = np.ceil(place - WIDTH / 2).astype(np.int64)[:, None] + np.arange(WIDTH)
    grid = np.zeros(size, np.float32)
    np.add.at(grid, cell % size, (kernel(cell - place[:, None]) * signal[:, None]).astype("f4"))
    transform = scipy.fft.rfft(grid)[:modes]
    return (transform.real**2 + transform.imag**2) * correction(size)[:modes]


def kernel(x: np.ndarray) -> np.ndarray:
    """Return the exponential of a semicircle over `WIDTH` cells, 1 in the middle."""
    return np.exp(BETA * (np.sqrt(np.maximum(1 - (2 * x / WIDTH) ** 2, 0.0)) - 1))


@lru_cache(maxsize=64)
def correction(size: int) -> np.ndarray:
    """Return 2 / (Fourier transform of the kernel)^2 for modes 0 .. size // 2, float32."""
    x, weight = np.polynomial.legendre.leggauss(40)
    nodes = np.linspace(0, 0.5, 513)  # cycles a cell; smooth, so that interpolation will do
    wave = np.cos(np.pi * WIDTH * nodes[:, None] * x) @ (weight * kernel(x * WIDTH / 2)) * WIDTH / 2
    return np.interp(np.arange(size // 2 + 1) / size, nodes, 2 / wave**2).astype(np.float32)


def fft_size(least: float) -> int:
    """Return the smallest 2^a (1, 9/8, 5/4, 3/2, 7/4, 15/8) that is not below `least`.

    Few sizes, so that `correction` is made once for many curves.
    """
    power = 1 << max(int(np.ceil(np.log2(max(least, 64)))) - 1, 5)
    return next(s for s in (power * n // 8 for n in (9, 10, 12, 14, 15, 16)) if s >= least)


def highest(power: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the `count` highest local maxima of a scan, in order of frequency."""
    inner = power[1:-1]
    peaks = np.flatnonzero((inner > power[:-2]) & (inner >= power[2:])) + 1
    if len(peaks) > count:
        peaks = peaks[np.argpartition(power[peaks], -count)[-count:]]
    return np.sort(peaks)


def fourier_power(
    time: np.ndarray,
    mag: np.ndarray,
    weight: np.ndarray,
    frequency: np.ndarray,
    shift: np.ndarray,
    harmonics: int,
) -> np.ndarray:
    """Return what Fourier series with 1 .. H harmonics explain at frequency + shift, [F, J, H].

    The share of the variance, 0 to 1, by weighted least squares with a floating mean (H = 1: the
    generalised Lomb-Scargle power of Zechmeister and Kuerster 2009).  Magnitudes have weighted
    variance 1.  Phases are float64 until whole cycles are removed.
    """
    start, step = rotation(np.outer(frequency, time)), rotation(np.outer(shift, time))
    turn = (start[:, None] * step).reshape(-1, len(time))  # [F J, n]
    columns = np.stack([weight, weight * mag], 1).astype(np.complex64)
    sums = np.empty((len(turn), 2 * harmonics, 2), complex)
    power = turn
    for h in range(2 * harmonics):
        sums[:, h] = power @ columns
        power = power * turn
    gain = explained(sums[:, :, 0], sums[:, :harmonics, 1], float(weight @ mag))
    return gain.reshape(len(frequency), len(shift), harmonics)


def rotation(cycles: np.ndarray) -> np.ndarray:
    """Return exp(2 pi i cycles), complex64."""
    angle = (2 * np.pi * (cycles - np.rint(cycles))).astype(np.float32)
    out = np.empty(angle.shape, np.complex64)
    np.cos(angle, out=out.real)
    np.sin(angle, out=out.imag)
    return out


def explained(waves: np.ndarray, products: np.ndarray, mean: float) -> np.ndarray:
    """Return the variance explained by the first 1 .. H harmonics, [R, H].

    waves: [R, 2 H], sum_i w_i exp(2 pi i h f t_i), h = 1 .. 2 H; products: [R, H], the same of
    w_i m_i.  One Cholesky factor L of the normal equations gives all H answers: the squares of
    L^-1 b add up over the parameters (constant, cos, sin, cos 2, sin 2 ...).
    """
    factor = np.linalg.cholesky(normal_equations(waves))
    right = np.empty(factor.shape[:2])
    right[:, 0], right[:, 1::2], right[:, 2::2] = mean, products.real, products.imag
    part = np.empty_like(right)
    for i in range(right.shape[1]):
        known = (factor[:, i, :i] * part[:, :i]).sum(-1)
        part[:, i] = (right[:, i] - known) / factor[:, i, i]
    return np.clip(np.cumsum(part[:, 1::2] ** 2 + part[:, 2::2] ** 2, axis=1), 0.0, 1.0)


def normal_equations(waves: np.ndarray) -> np.ndarray:
    """Return sum_i w_i x_i x_i' for x = (1, cos, sin, cos 2, sin 2 ...), [R, 2 H + 1, 2 H + 1].

    All products of cosines and sines are sums of waves of the sum and the difference of their
    harmonics.  1e-6 on the diagonal keeps series that the sampling cannot tell apart solvable.
    """
    rows, twice = waves.shape
    ones = np.ones((rows, 1))
    full = np.concatenate([waves[:, ::-1].conj(), ones, waves], axis=1)  # harmonics -2H .. 2H
    h = np.arange(1, twice // 2 + 1)
    total, differ = full[:, twice + h[:, None] + h], full[:, twice + h[:, None] - h]
    normal = np.empty((rows, twice + 1, twice + 1))
    normal[:, 0, 0] = 1.0
    normal[:, 0, 1::2] = normal[:, 1::2, 0] = waves[:, : len(h)].real
    normal[:, 0, 2::2] = normal[:, 2::2, 0] = waves[:, : len(h)].imag
    normal[:, 1::2, 1::2] = (differ.real + total.real) / 2
    normal[:, 2::2, 2::2] = (differ.real - total.real) / 2
    normal[:, 1::2, 2::2] = (total.imag - differ.imag) / 2
    normal[:, 2::2, 1::2] = normal[:, 1::2, 2::2].swapaxes(1, 2)
    return normal + 1e-6 * np.eye(twice + 1)
