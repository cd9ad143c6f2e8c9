"""The Gaussian processes that a window can choose from, by their evidence."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from astro_jax.nn.matern import grid, posterior
from astro_jax.nn.periodic import HIGHEST, fourier_processes, periodic_grid, time_span

# Aperiodic: scales in days, shares of noise.
NOISES = (0.003, 0.02, 0.1, 0.3, 0.6)
KERNELS = (
    grid(0, (0.3, 1.0, 10.0, 100.0), NOISES),
    grid(1, (1.0, 4.0, 16.0, 64.0, 256.0), NOISES),
    grid(2, (4.0, 16.0, 64.0, 256.0, 1000.0), NOISES),
)
APERIODIC = sum(len(kernels.noise) for kernels in KERNELS)
# Periodic, for each candidate: decay of the harmonics, shares of noise.
PERIODIC = periodic_grid(6, (0.1, 0.4, 0.75), (0.003, 0.02, 0.1, 0.3))


class Processes(NamedTuple):
    """What J Gaussian processes say of a window.

    mean: [B, T, J] posterior means, in the units of the magnitudes
    evidence: [B, J] log evidence relative to the best
    noise: [J] the share of white noise in the variance of each
    """

    mean: Array
    evidence: Array
    noise: Array


def processes(
    times: Array, mag: Array, visible: Array, frequency: Array | None = None
) -> Processes:
    """Return the processes of `KERNELS` and, for each of F frequencies, those of `PERIODIC`.

    times: [B, T] days; mag: [B, T] centred, in units of the scatter of the visible ones; visible:
        [B, T] bool; frequency: [B, F] cycles a day, see `periodic.candidate_frequencies`
    They depend on the visible magnitudes alone and have nothing to learn: no gradient goes through.
    The evidence of a frequency that was searched for is reduced by the logarithm of the number of
    frequencies that the window can tell apart (span times `HIGHEST`).
    """
    parts = [posterior(times, mag, visible, kernels) for kernels in KERNELS]
    noise = [kernels.noise for kernels in KERNELS]
    if frequency is not None:
        mean, evidence = fourier_processes(times, mag, visible, frequency, PERIODIC)
        trials = jnp.log(jnp.maximum(time_span(times, visible) * HIGHEST, 1.0))
        parts.append((mean, evidence - trials[:, None]))
        noise += [PERIODIC.noise] * frequency.shape[1]
    mean, evidence = (jnp.concatenate(part, -1) for part in zip(*parts, strict=True))
    mean, evidence = jax.lax.stop_gradient((mean, evidence - evidence.max(-1, keepdims=True)))
    return Processes(mean, evidence, jnp.concatenate(noise))


def significance(found: Processes, candidates: int) -> Array:
    """Return by how much the best process of each candidate is above the best aperiodic one.

    Nats, [B, F]: the last F times len(PERIODIC.decay) processes are those of the candidates.
    """
    each = len(PERIODIC.decay)
    own = candidates * each
    of_each = found.evidence[:, -own:].reshape(found.evidence.shape[0], candidates, each)
    best = of_each.max(-1)
    return best - found.evidence[:, :-own].max(-1, keepdims=True)
