"""Active galactic nuclei: a damped random walk in magnitude, seen in difference images.

MacLeod et al. 2010 (ApJ 721 1014): structure function at long times and time scale, both in the
rest frame, are log f = A + B log(l / 0.4 micrometre) + C (M_i + 23) + D log(M_BH / 10^9) (equation
7, table 1), and log M_BH = 2.0 - 0.27 M_i with a scatter of 0.58 + 0.011 M_i (equation 8, from Shen
et al. 2008). One walk drives all bands. The continuum is f ~ nu^-0.44 (Vanden Berk et al. 2001 AJ
122 549). The flux is that above a reference image taken `REFERENCE_DAYS` before.
"""

from typing import NamedTuple

import numpy as np

from astro_jax.data.simulate.transient_light import (
    distance_modulus,
    draw_dust,
    draw_redshift,
    extinction,
    fluxcal,
)
from astro_jax.passbands import NAMES, PASSBANDS

STRUCTURE = (-0.51, -0.479, 0.131, 0.18)  # A, B, C, D of SF_inf, mag
TIMESCALE = (2.4, 0.17, 0.03, 0.21)  # of tau, days
SLOPE = -0.44
MAG = (-23.5, 1.0)  # ours: M_i of what a bright transient survey meets
FAINTER = 1.5  # ours: mag by which the largest difference is fainter than the nucleus
REFERENCE_DAYS = 500.0  # ours
I_BAND = PASSBANDS[NAMES.index("i")].wavelength
R_BAND = PASSBANDS[NAMES.index("ztfr")].wavelength


class Nuclei(NamedTuple):
    """n nuclei; all [n]."""

    redshift: np.ndarray
    mag: np.ndarray  # absolute, rest-frame i
    mass: np.ndarray  # log10 of the black hole's, in solar masses
    mwebv: np.ndarray


def draw_nuclei(rng: np.random.Generator, n: int, limit: float) -> Nuclei:
    """Draw nuclei whose difference flux can reach the `limit` of the survey."""
    mag = MAG[0] + MAG[1] * rng.standard_normal(n)
    redshift = draw_redshift(rng, mag + FAINTER, limit + 1)
    mass = 2.0 - 0.27 * mag + (0.58 + 0.011 * mag) * rng.standard_normal(n)
    return Nuclei(redshift, mag, mass, draw_dust(rng, n))


def scaling(law: tuple[float, float, float, float], wavelength, mag, mass) -> np.ndarray:
    """Return the law of MacLeod et al. 2010; wavelength: rest frame, micrometre."""
    a, b, c, d = law
    return 10 ** (a + b * np.log10(wavelength / 0.4) + c * (mag + 23) + d * (mass - 9))


def walk(
    event: np.ndarray, days: np.ndarray, tau: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw an Ornstein-Uhlenbeck process of unit variance: at the reference [n], at points [M].

    event, days: [M], by event and time; tau: [n] days, observer's frame
    """
    n = len(tau)
    counts = np.bincount(event, minlength=n)
    place = np.arange(len(event)) - np.repeat(np.cumsum(counts) - counts, counts)
    grid = np.zeros((n, counts.max(initial=0) + 1))
    first = np.full(n, 0.0)
    np.minimum.at(first, event, days)
    grid[:, 0] = first - REFERENCE_DAYS
    grid[event, place + 1] = days
    keep = np.exp(-np.maximum(np.diff(grid, axis=1), 0) / tau[:, None])
    steps = rng.standard_normal(grid.shape)
    steps[:, 1:] *= np.sqrt(1 - keep**2)
    for k in range(1, grid.shape[1]):
        steps[:, k] += keep[:, k - 1] * steps[:, k - 1]
    return steps[:, 0], steps[event, place + 1]


def difference(
    nuclei: Nuclei,
    event: np.ndarray,
    days: np.ndarray,
    wavelength: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the flux above the reference without noise, FLUXCAL, [M]; negative too."""
    z, mag = nuclei.redshift, nuclei.mag
    tau = scaling(TIMESCALE, R_BAND / (1 + z), mag, nuclei.mass) * (1 + z)
    before, now = walk(event, days, tau, rng)
    rest = wavelength / (1 + z[event])
    # a structure function is sqrt(2) times the deviation
    swing = scaling(STRUCTURE, rest, mag[event], nuclei.mass[event]) / np.sqrt(2)
    colour = -2.5 * np.log10((1 + z[event]) * (I_BAND / rest) ** SLOPE)
    mean = (mag + distance_modulus(z))[event] + colour
    mean += nuclei.mwebv[event] * extinction(wavelength)
    return fluxcal(mean + swing * now) - fluxcal(mean + swing * before[event])
