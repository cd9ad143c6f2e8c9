"""Periodic processes: candidate periods of a window, and Fourier series as Gaussian processes.

All in jit, batched, from the visible points alone, so that a network can know the period without
being told: a scan over all frequencies as one matrix product a window, a refinement of its best
peaks, and the exact posterior mean and evidence of Gaussian processes with a periodic kernel

    k(dt) = q_0 + sum_h q_h cos(2 pi h f dt),  q_h falling with h,

which is Bayesian regression on a Fourier series (MacKay 1998; Rasmussen and Williams 2006, section
2.1).  The evidence is in the units of `nn.matern.posterior`.  Times are centred days in float32:
a phase is right to about 0.002 cycles at 24 cycles a day over 3000 days.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from astro_jax.nn.matern import pairs

OVERSAMPLING = 2.5  # frequencies per 1 / span
LEAST = 9  # visible points of a window that may have a period
ROWS, HALF = 512, 128  # of the scan: 2 ROWS HALF frequencies, 26 cycles a day over 2000 days
BLOCK = 16  # neighbouring frequencies of the scan, of which the best is a peak
HIGHEST = 24.0  # cycles a day
CYCLES = 1.0  # a candidate goes round this often in the span, or more
PEAKS, DOUBLE_PEAKS = 12, 8  # of the power, and of its sum with that at twice the frequency
SHIFTS = np.linspace(-0.5, 0.5, 7)  # of a peak, in frequencies of the scan


class Periodic(NamedTuple):
    """J periodic kernels: harmonics 1 .. `harmonics`, amplitudes q_h = decay^h.

    decay: [J] from a sinusoid (0.05) to sharp eclipses (0.8); noise: [J] the share of white noise
    in the variance of 1.  The mean q_0 has 0.1 of the variance of the series.
    """

    harmonics: int
    decay: np.ndarray
    noise: np.ndarray


def periodic_grid(harmonics: int, decays: tuple[float, ...], noises: tuple[float, ...]) -> Periodic:
    """Return the kernels of all pairs of decay and share of noise."""
    return Periodic(harmonics, *pairs(decays, noises))


EXACT = jax.lax.Precision.HIGHEST  # float32 on devices that would multiply in less
SEARCH = periodic_grid(2, (0.7,), (0.1,))


def candidate_frequencies(times: Array, mag: Array, visible: Array, count: int) -> Array:
    """Return the `count` frequencies of most evidence, best first, [B, count], cycles a day.

    times: [B, T] days, centred; mag: [B, T], of the visible points mean 0 and variance 1 or less;
    visible: [B, T] bool.  Two neighbours of one peak are one candidate.  Frequency 0, a constant,
    where there is none: fewer than 9 visible points, or no time span.
    """
    mag = jnp.where(visible, mag, 0.0)
    power, step = scan(times, mag, visible)
    peaks = highest_peaks(power, PEAKS)
    both = power[:, : power.shape[1] // 2] + power[:, ::2]
    peaks = jnp.concatenate([peaks, highest_peaks(both, DOUBLE_PEAKS)], axis=1)
    tried = (peaks[..., None] + SHIFTS) * step[:, None, None]  # [B, F, S]
    flat = tried.reshape(tried.shape[0], tried.shape[1] * tried.shape[2])
    _, evidence = fourier_processes(times, mag, visible, flat, SEARCH, predict=False)
    evidence = evidence.reshape(tried.shape)
    shift = evidence.argmax(-1)[..., None]
    frequency = jnp.take_along_axis(tried, shift, -1)[..., 0]
    evidence = jnp.take_along_axis(evidence, shift, -1)[..., 0]
    return _best_apart(frequency, evidence, step[:, None], count)


def scan(times: Array, mag: Array, visible: Array) -> tuple[Array, Array]:
    """Return |sum_i m_i exp(2 pi i k s t_i)|^2, k = 0, 1 .. [B, K], and the step s [B] (1 / days).

    Frequencies with less than a cycle in the span, above `HIGHEST`, or of a window that has no
    period have power -1.  k = 256 a + b or 256 a - b: all waves are products of those of a and b,
    and the sums over the points one matrix product.
    """
    span = time_span(times, visible)
    usable = (visible.sum(-1) >= LEAST) & (span > 0)
    step = 1 / (OVERSAMPLING * jnp.where(usable, span, 1.0))
    cycles = times * step[:, None]
    fine = _waves(cycles, HALF + 1).swapaxes(1, 2)  # [B, T, 2 (HALF + 1)]
    coarse = _waves(cycles * (2 * HALF), ROWS) * mag[:, None]
    sums = jnp.matmul(coarse, fine, precision=EXACT)
    sums = sums.reshape(times.shape[0], 2, ROWS, 2, HALF + 1)
    cc, cs, sc, ss = (sums[:, i, :, j] for i in (0, 1) for j in (0, 1))
    above, below = (cc - ss) ** 2 + (sc + cs) ** 2, (cc + ss) ** 2 + (sc - cs) ** 2
    power = jnp.concatenate([below[..., :0:-1], above[..., :HALF]], axis=-1)
    power = power.reshape(times.shape[0], 2 * ROWS * HALF)[:, HALF:]  # from frequency 0 on
    number = jnp.arange(power.shape[1])
    inside = (number >= CYCLES * OVERSAMPLING) & (number * step[:, None] <= HIGHEST)
    return jnp.where(inside & usable[:, None], power, -1.0), jnp.where(usable, step, 0.0)


def time_span(times: Array, visible: Array) -> Array:
    """Return the days from the first to the last visible point, [B]; -inf where there is none."""
    first = jnp.where(visible, times, jnp.inf).min(-1)
    return jnp.where(visible, times, -jnp.inf).max(-1) - first


def _waves(cycles: Array, count: int) -> Array:
    """Return cos, then sin, of 2 pi k cycles, k = 0 .. count - 1, [B, 2 count, T].

    k = root a + b: all waves are products of those of a and b.  Written as a product of matrices,
    since XLA would take all sines anew for each k otherwise (six times as long on a CPU).
    """
    root = math.isqrt(count - 1) + 1
    number = jnp.arange(root, dtype=jnp.float32)[:, None]
    angles = ((c - jnp.rint(c))[:, None] * number for c in (cycles, cycles * root))
    (cos, sin), coarse = ((w.real, w.imag) for w in map(_rotation, angles))
    fine = jnp.stack([jnp.stack([cos, -sin], 1), jnp.stack([sin, cos], 1)], 1)  # [B, 2, 2, b, T]
    wave = jnp.einsum("batk,bpknt->bpant", jnp.stack(coarse, -1), fine, precision=EXACT)
    rows, points = cycles.shape
    wave = wave.reshape(rows, 2, root**2, points)[:, :, :count]
    return wave.reshape(rows, 2 * count, points)


def _rotation(cycles: Array) -> Array:
    """Return exp(2 pi i cycles), complex64."""
    angle = 2 * jnp.pi * (cycles - jnp.rint(cycles))
    return jax.lax.complex(jnp.cos(angle), jnp.sin(angle))


def highest_peaks(power: Array, count: int) -> Array:
    """Return the numbers of the highest frequencies of the `count` highest blocks, [B, count]."""
    blocks = power.reshape(power.shape[0], power.shape[1] // BLOCK, BLOCK)
    _, best = jax.lax.top_k(blocks.max(-1), count)
    inside = jnp.take_along_axis(blocks, best[..., None], axis=1).argmax(-1)
    return (best * BLOCK + inside).astype(jnp.float32)


def _best_apart(frequency: Array, evidence: Array, least: Array, count: int) -> Array:
    """Return the best `count` frequencies, none within `least` of a better one, 0 for none."""
    kept = []
    for _ in range(count):
        best = evidence.argmax(-1)[:, None]
        found = jnp.take_along_axis(frequency, best, 1)
        known = jnp.take_along_axis(evidence, best, 1) > -jnp.inf
        kept.append(jnp.where(known, found, 0.0))
        evidence = jnp.where(jnp.abs(frequency - found) < least, -jnp.inf, evidence)
    return jnp.concatenate(kept, axis=1)


def fourier_processes(
    times: Array,
    mag: Array,
    visible: Array,
    frequency: Array,
    kernels: Periodic,
    predict: bool = True,
) -> tuple[Array | None, Array]:
    """Return the posterior mean at all times [B, T, F J] and the log evidence [B, F J].

    times, mag, visible: as in `candidate_frequencies`; frequency: [B, F] cycles a day
    The evidence leaves out the constant -n/2 log(2 pi).  Frequency 0 is a constant.
    Without `predict` the mean is not computed and is None.
    """
    order = kernels.harmonics
    seen = visible.astype(jnp.float32)
    wave = _harmonics(times, frequency, 2 * order)  # [2 H, B, F, T] complex
    data = jnp.stack([seen, seen * mag], axis=-1)  # [B, T, 2]
    sums = jnp.einsum("hbft,btk->bfhk", wave, data.astype(jnp.complex64), precision=EXACT)
    size = seen.sum(-1)[:, None]
    normal = _normal_equations(sums[..., 0], jnp.broadcast_to(size, frequency.shape))
    product = sums[:, :, :order, 1]
    total = jnp.broadcast_to((seen * mag).sum(-1)[:, None, None], (*frequency.shape, 1))
    right = jnp.concatenate([total, product.real, product.imag], axis=-1)  # [B, F, N]
    prior, noise = _prior(kernels), jnp.asarray(kernels.noise)
    matrix = normal[:, :, None] / noise[:, None, None] + jnp.eye(2 * order + 1) / prior[:, None]
    vector = right[:, :, None] / noise[:, None]  # [B, F, J, N]
    factor = jnp.linalg.cholesky(matrix)
    half = jax.scipy.linalg.solve_triangular(factor, vector[..., None], lower=True)[..., 0]
    square = (seen * mag**2).sum(-1)[:, None, None]
    logdet = 2 * jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)).sum(-1) + jnp.log(prior).sum(-1)
    fit = square / noise - (half**2).sum(-1)
    evidence = -0.5 * (fit + logdet + size[..., None] * jnp.log(noise))
    count = frequency.shape[1] * len(kernels.decay)
    evidence = evidence.reshape(times.shape[0], count)
    if not predict:
        return None, evidence
    weight = jax.scipy.linalg.solve_triangular(factor, half[..., None], lower=True, trans=1)[..., 0]
    basis = jnp.concatenate([wave[:order].real, wave[:order].imag])  # [2 H, B, F, T]
    mean = (
        jnp.einsum("hbft,bfjh->btfj", basis, weight[..., 1:], precision=EXACT)
        + weight[:, None, ..., 0]
    )
    return mean.reshape(*times.shape, count), evidence


def cycles_of(times: Array, frequency: Array) -> Array:
    """Return frequency times time without whole cycles, -0.5 to 0.5, [B, F, T]."""
    cycles = frequency[..., None] * times[:, None, :]
    return cycles - jnp.rint(cycles)


def _harmonics(times: Array, frequency: Array, count: int) -> Array:
    """Return exp(2 pi i h f t), h = 1 .. count, [count, B, F, T]."""
    first = _rotation(cycles_of(times, frequency))
    waves = [first]
    for _ in range(count - 1):
        waves.append(waves[-1] * first)
    return jnp.stack(waves)


def _prior(kernels: Periodic) -> Array:
    """Return the variance of the constant and of cos and sin of each harmonic, [J, 2 H + 1]."""
    share = kernels.decay[:, None] ** np.arange(kernels.harmonics)
    share = 0.9 * share / share.sum(1, keepdims=True)
    rest = 1 - kernels.noise[:, None]
    return jnp.asarray(rest * np.concatenate([np.full_like(rest, 0.1), share, share], axis=1))


def _normal_equations(waves: Array, size: Array) -> Array:
    """Return sum_i x_i x_i' of x = (1, cos .. cos H, sin .. sin H), [B, F, 2 H + 1, 2 H + 1].

    waves: [B, F, 2 H], sum_i exp(2 pi i h f t_i), h = 1 .. 2 H; size: [B, F] the points.
    """
    order = waves.shape[-1] // 2
    full = jnp.concatenate([waves[..., ::-1].conj(), size[..., None], waves], axis=-1)
    h = np.arange(1, order + 1)
    total = full[..., 2 * order + h[:, None] + h]  # of harmonic h + k
    differ = full[..., 2 * order + h[:, None] - h]
    cosine = (differ.real + total.real) / 2
    sine = (differ.real - total.real) / 2
    mixed = (total.imag - differ.imag) / 2  # cos h, sin k
    edge = waves[..., None, :order]
    top = jnp.concatenate([size[..., None, None], edge.real, edge.imag], -1)
    middle = jnp.concatenate([edge.real.swapaxes(-1, -2), cosine, mixed], -1)
    bottom = jnp.concatenate([edge.imag.swapaxes(-1, -2), mixed.swapaxes(-1, -2), sine], -1)
    return jnp.concatenate([top, middle, bottom], axis=-2)
