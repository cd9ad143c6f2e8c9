"""Sketches of stellar spectra: a black body, lines and molecular bands, seen as LAMOST would.

Good for a network to learn that temperature, gravity and composition show; no model atmosphere.
Strengths, widths and noise are ours, set by eye to spectra of LAMOST and MILES; wavelengths are
those of the lines (air, Angstrom).
"""

from typing import NamedTuple

import numpy as np

from astro_jax.data.simulate.trimodal_classes import Physics

LIGHT = 299792.458  # km/s


class Line(NamedTuple):
    """A line, or blend: strongest at `teff` K, over a range of `spread` in ln T.

    depth: 0 .. 1; width: sigma, Angstrom; iron: strength as 10^(iron [Fe/H]); giant: change of the
    strength in giants, as a share
    """

    wave: float
    depth: float
    width: float
    teff: float
    spread: float
    iron: float = 0.4
    giant: float = 0.0


BALMER = tuple(
    Line(wave, depth, 9.0, 9200, 0.36, 0.0, -0.3)
    for wave, depth in ((6562.8, 0.55), (4861.3, 0.6), (4340.5, 0.6), (4101.7, 0.6), (3970.1, 0.55),
                        (3889.1, 0.5))
)  # fmt: skip
METALS = (
    Line(3933.7, 0.8, 7.0, 4700, 0.42),
    Line(3968.5, 0.75, 7.0, 4700, 0.42),
    Line(4226.7, 0.5, 4.0, 4000, 0.22),
    Line(4300.0, 0.4, 14.0, 5200, 0.2),  # CH
    Line(4383.5, 0.3, 5.0, 4900, 0.3),
    Line(5175.0, 0.35, 12.0, 4500, 0.25, 0.4, -0.4),  # Mg b
    Line(5270.0, 0.25, 9.0, 4500, 0.3),
    Line(5328.0, 0.2, 7.0, 4500, 0.3),
    Line(5893.0, 0.4, 6.0, 4000, 0.3, 0.3, -0.5),  # Na D
    Line(6497.0, 0.15, 6.0, 4300, 0.3, 0.4, 0.5),  # Ba, Fe: stronger in giants
    Line(8183.0, 0.3, 8.0, 3400, 0.2, 0.2, -0.9),  # Na: dwarfs only
    Line(8498.0, 0.3, 4.0, 4600, 0.5, 0.3, 0.5),
    Line(8542.1, 0.45, 5.0, 4600, 0.5, 0.3, 0.5),
    Line(8662.1, 0.4, 5.0, 4600, 0.5, 0.3, 0.5),
)
HELIUM = (Line(4471.5, 0.2, 5.0, 17000, 0.3, 0.0), Line(5875.6, 0.15, 5.0, 17000, 0.3, 0.0))
# Heads of bands: TiO fades towards the red, C2 and CN towards the blue
TIO = ((4761, 0.25), (4954, 0.4), (5167, 0.5), (5448, 0.5), (5862, 0.45), (6159, 0.55), (6651, 0.5),
       (7053, 0.65), (7589, 0.6), (8432, 0.45))  # fmt: skip
SWAN = ((4737, 0.6), (5165, 0.7), (5636, 0.6), (6191, 0.3))
CYANOGEN = ((6930, 0.3), (7100, 0.35), (7900, 0.4), (8100, 0.4))
TAIL = 160.0  # Angstrom over which a band fades


def spectra(
    stars: Physics,
    extinction: np.ndarray,
    signal_to_noise: np.ndarray,
    grid: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and inverse variance, [n, S] each, in arbitrary units.

    extinction: A_V, signal_to_noise: at 6000 Angstrom, [n] each; grid: [S] Angstrom
    Radial velocities of 60 km/s, a smooth error of the flux calibration, less light in the blue
    and where the arms meet (5700 to 6000), and a few pixels without data (ivar 0).
    """
    n = len(stars.teff)
    velocity = 60.0 * rng.standard_normal(n)
    rest = grid[None] / (1 + velocity[:, None] / LIGHT)
    flux = planck(rest, stars.teff[:, None])
    for line in (*BALMER, *METALS, *HELIUM):
        flux *= 1 - absorption(line, rest, stars)
    flux *= molecules(rest, stars)
    flux *= 1 + emission(rest, stars)
    flux *= 10 ** (-0.4 * extinction[:, None] * (5500.0 / grid) ** 1.4)  # about a CCM law
    flux /= np.interp(6000.0, grid, np.ones(len(grid))) * _level(flux, grid)[:, None]
    wave = (grid - grid[0]) / (grid[-1] - grid[0])
    order = np.arange(1, 4)
    wiggles = rng.standard_normal((n, 3)) @ np.cos(np.pi * order[:, None] * wave)
    flux *= 1 + 0.03 * wiggles
    level = 10 ** rng.normal(2.5, 0.5, n)  # counts: LAMOST has no absolute zero point
    through = 0.15 + 0.85 * np.clip((grid - 3700) / 1800, 0, 1)
    through *= 1 - 0.5 * np.exp(-(((grid - 5850) / 90) ** 2))
    sigma = np.sqrt(np.maximum(flux, 0.05) / through) / signal_to_noise[:, None]
    flux = flux + sigma * rng.standard_normal(flux.shape)
    ivar = 1.0 / sigma**2
    ivar[rng.random(ivar.shape) < 0.002] = 0.0
    return flux * level[:, None], ivar / level[:, None] ** 2


def _level(flux: np.ndarray, grid: np.ndarray) -> np.ndarray:
    near = np.abs(grid - 6000.0) < 150.0
    return flux[:, near].mean(1) if near.any() else flux.mean(1)


def planck(wave: np.ndarray, teff: np.ndarray) -> np.ndarray:
    """Return a black body per wavelength, 1 at 6000 Angstrom."""
    c2 = 1.4388e8  # K Angstrom
    reference = np.expm1(c2 / (6000.0 * teff))
    return (6000.0 / wave) ** 5 * reference / np.expm1(c2 / (wave * teff))


def absorption(line: Line, wave: np.ndarray, stars: Physics) -> np.ndarray:
    """Return the share of light that a line takes, [n, S]."""
    strength = np.exp(-((np.log(stars.teff / line.teff) / line.spread) ** 2))
    strength *= 10 ** (line.iron * np.minimum(stars.iron, 0.3)) * (1 + line.giant * stars.giant)
    depth = 0.95 * (1 - np.exp(-line.depth * strength / 0.95))  # lines saturate
    return depth[:, None] * np.exp(-0.5 * ((wave - line.wave) / line.width) ** 2)


def molecules(wave: np.ndarray, stars: Physics) -> np.ndarray:
    """Return the light that bands leave: TiO below 4000 K, or C2 and CN in carbon stars."""
    titanium = np.clip((4000 - stars.teff) / 1000, 0, 1.3) * (1 - stars.carbon)
    left = np.ones(wave.shape)
    for heads, strength, side in ((TIO, titanium, 1), (SWAN, stars.carbon, -1),
                                  (CYANOGEN, 0.8 * stars.carbon, -1)):  # fmt: skip
        if not strength.any():
            continue
        for head, depth in heads:
            behind = side * (wave - head)
            band = np.where(behind > 0, np.exp(-np.maximum(behind, 0) / TAIL), 0.0)
            left *= 1 - np.minimum(depth * strength, 0.95)[:, None] * band
    return left


def emission(wave: np.ndarray, stars: Physics) -> np.ndarray:
    """Return Balmer and calcium emission over the continuum, [n, S], of active stars and Miras."""
    total = np.zeros(wave.shape)
    lines = ((6562.8, 1.0), (4861.3, 0.4), (4101.7, 0.5), (3933.7, 0.6), (3968.5, 0.6))
    for centre, height in lines:
        total += height * np.exp(-0.5 * ((wave - centre) / 4.0) ** 2)
    return stars.active[:, None] * total
