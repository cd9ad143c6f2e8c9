"""The classes of the simulated tri-modal survey: how period, light curve and star belong together.

Shares are those of the published data set (Rizhko & Bloom 2024: 21,440 ASAS-SN variables).  Light
curves are drawn by the modules of the single-band simulator; here temperature, luminosity and
composition follow from the period and the class.  Numbers without a source are ours.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from astro_jax.data.simulate.binaries import contact, detached, semi_detached
from astro_jax.data.simulate.giants import mira, semi_regular
from astro_jax.data.simulate.pulsators import (
    cepheid_1o,
    cepheid_f,
    delta_scuti,
    fourier,
    rrab,
    rrc,
)
from astro_jax.data.simulate.stars import Stars, clipped, fill

# Effective temperatures and M_V of the main sequence, rounded from Pecaut & Mamajek 2013 ApJS 208 9
MAIN_SEQUENCE = np.array([
    [3000, 12.5], [3500, 10.0], [4000, 8.2], [4500, 7.0], [5000, 6.0], [5500, 5.2], [6000, 4.3],
    [6500, 3.5], [7000, 2.8], [8000, 2.0], [10000, 1.0], [15000, -0.9],
])  # fmt: skip
# V - K by temperature, K: dwarfs of the same table, giants below 4000 K after Worthey & Lee 2011
V_K = np.array([
    [2600, 8.5], [3000, 6.0], [3300, 4.9], [3600, 4.0], [4000, 3.3], [4500, 2.6], [5000, 2.1],
    [5500, 1.7], [6000, 1.4], [6500, 1.1], [7000, 0.85], [7500, 0.6], [8000, 0.4], [9000, 0.1],
    [10000, 0.0], [12000, -0.2], [15000, -0.4], [20000, -0.6],
])  # fmt: skip


class Physics(NamedTuple):
    """What n stars are, [n] each.

    teff: K; mv: absolute V; iron: [Fe/H]; giant: 0 dwarf .. 1 giant, carbon: 0 or 1, active: 0 ..
    1, strength of emission lines; kind: sub-type, text
    """

    teff: np.ndarray
    mv: np.ndarray
    iron: np.ndarray
    giant: np.ndarray
    carbon: np.ndarray
    active: np.ndarray
    kind: np.ndarray


class Population(NamedTuple):
    """A class: its share, its light curves, its stars, where they are and how they move.

    redness, lag: see `simulate.light`; height: scale of |b|, degrees (90: all sky); speed: km/s
    """

    label: str
    share: float
    draw: Callable[[np.random.Generator, int], Stars]
    physics: Callable[[np.random.Generator, Stars], Physics]
    redness: float = 1.0
    lag: float = 0.0
    height: float = 15.0
    speed: float = 40.0


def _stars(rng: np.random.Generator, teff: np.ndarray, mv: np.ndarray, **more) -> Physics:
    """Fill in what a class leaves out: disc composition, dwarfs, no carbon, quiet."""
    n = len(teff)
    full = {
        "iron": clipped(rng, n, -0.1, 0.2, -0.8, 0.4),
        "giant": np.zeros(n),
        "carbon": np.zeros(n),
        "active": np.zeros(n),
        "kind": np.full(n, "", object),
    }
    return Physics(teff, mv, **(full | more))


def main_sequence(teff: np.ndarray) -> np.ndarray:
    """Return M_V of dwarfs of a temperature."""
    return np.interp(teff, *MAIN_SEQUENCE.T)


def v_minus_k(teff: np.ndarray) -> np.ndarray:
    """Return the unreddened colour V - K of a temperature."""
    return np.interp(teff, *V_K.T)


def _ew(rng: np.random.Generator, stars: Stars) -> Physics:
    """Contact pairs: longer periods are hotter and brighter (Rucinski & Duerbeck 1997)."""
    log_p = np.log10(stars.period)
    teff = clipped(rng, len(log_p), 5700 + 4000 * (log_p + 0.43), 250, 4000, 8500)
    mv = 3.9 - 6.0 * (log_p + 0.43) + 0.25 * rng.standard_normal(len(log_p))
    return _stars(rng, teff, mv, active=0.15 * rng.random(len(log_p)))


def _eb(rng: np.random.Generator, stars: Stars) -> Physics:
    n = len(stars.period)
    teff = np.clip(8500 * np.exp(0.25 * rng.standard_normal(n)), 5200, 15000)
    return _stars(rng, teff, main_sequence(teff) - 0.9 + 0.5 * rng.standard_normal(n))


def _ea(rng: np.random.Generator, stars: Stars) -> Physics:
    n = len(stars.period)
    teff = np.clip(6900 * np.exp(0.22 * rng.standard_normal(n)), 4000, 13000)
    return _stars(rng, teff, main_sequence(teff) - 0.4 + 0.5 * rng.standard_normal(n))


def _rrab(rng: np.random.Generator, stars: Stars) -> Physics:
    n = len(stars.period)
    iron = clipped(rng, n, -1.4 - 4.0 * (stars.period - 0.55), 0.3, -2.5, -0.3)
    teff = clipped(rng, n, 6550 - 1500 * (stars.period - 0.55), 120, 6000, 7200)
    mv = 0.9 + 0.23 * iron + 0.1 * rng.standard_normal(n)  # Clementini et al. 2003 AJ 125 1309
    return _stars(rng, teff, mv, iron=iron, giant=np.full(n, 0.5))


def _rrc(rng: np.random.Generator, stars: Stars) -> Physics:
    n = len(stars.period)
    iron = clipped(rng, n, -1.5, 0.35, -2.5, -0.4)
    teff = clipped(rng, n, 7200 - 1800 * (stars.period - 0.33), 120, 6700, 7600)
    return _stars(rng, teff, 0.9 + 0.23 * iron, iron=iron, giant=np.full(n, 0.5))


def _pulsating_dwarf(rng: np.random.Generator, stars: Stars, iron: float) -> Physics:
    """delta Scuti stars: M_V = -2.94 log P - 1.34 (Ziaali et al. 2019 MNRAS 486 4348)."""
    log_p = np.log10(stars.period)
    n = len(log_p)
    teff = clipped(rng, n, 7550 - 1200 * (log_p + 1.05), 200, 6700, 8600)
    mv = -2.94 * log_p - 1.34 + 0.2 * rng.standard_normal(n)
    return _stars(rng, teff, mv, iron=clipped(rng, n, iron, 0.25, -1.6, 0.3))


def _hads(rng: np.random.Generator, stars: Stars) -> Physics:
    return _pulsating_dwarf(rng, stars, -0.6)


def _dsct(rng: np.random.Generator, stars: Stars) -> Physics:
    return _pulsating_dwarf(rng, stars, 0.0)


def _mira(rng: np.random.Generator, stars: Stars) -> Physics:
    """Mira stars, three of four oxygen-rich; M_K by period (Whitelock et al. 2008 MNRAS 386 313).

    Carbon stars are warmer for their colour, reddened by dust, and have longer periods.
    """
    log_p = np.log10(stars.period)
    n = len(log_p)
    carbon = rng.random(n) < np.clip(0.25 + 0.8 * (log_p - 2.42), 0.05, 0.6)
    teff = np.where(carbon, 2950 + 150 * rng.standard_normal(n),
                    clipped(rng, n, 3250 - 850 * (log_p - 2.1), 80, 2600, 3500))  # fmt: skip
    mk = -3.51 * (log_p - 2.38) - 7.25 + 0.15 * rng.standard_normal(n)
    return _stars(rng, teff, mk + v_minus_k(teff) + 0.8 * carbon, giant=np.ones(n),
                  carbon=carbon.astype(float), active=rng.uniform(0.3, 1.0, n),
                  kind=np.where(carbon, "carbon", "oxygen").astype(object))  # fmt: skip


def _sr(rng: np.random.Generator, stars: Stars) -> Physics:
    log_p = np.log10(stars.period)
    n = len(log_p)
    teff = clipped(rng, n, 3650 - 380 * (log_p - 1.95), 110, 3000, 4200)
    mk = -3.5 * (log_p - 1.95) - 6.6 + 0.3 * rng.standard_normal(n)  # sequence C', rounded
    return _stars(rng, teff, mk + v_minus_k(teff), giant=np.ones(n))


def spots(rng: np.random.Generator, n: int) -> Stars:
    """Draw spotted stars: half giants of 8 to 80 d (RS CVn), half dwarfs of 0.3 to 12 d (BY Dra).

    Two harmonics whose height and phase wander over the years; an object's sub-type follows from
    its period.
    """
    giant = rng.random(n) < 0.5
    middle, spread = np.where(giant, [[25.0], [0.45]], [[2.2], [0.7]])
    period = middle * np.exp(spread * rng.standard_normal(n))
    period = np.where(giant, np.clip(period, 10.0, 80.0), np.clip(period, 0.3, 9.9))
    amplitude = np.clip(0.13 * np.exp(0.5 * rng.standard_normal(n)), 0.05, 0.5)
    shape = fourier(rng, np.full((n, 1), 0.25), rng.uniform(0, 6.28, (n, 1)), 0.4)
    wobble = np.stack([rng.uniform(0.15, 0.4, n), rng.uniform(0.02, 0.06, n)], axis=1)
    return fill(period, amplitude=amplitude, shape=shape, wobble=wobble)


def _rot(rng: np.random.Generator, stars: Stars) -> Physics:
    n = len(stars.period)
    giant = stars.period >= 10.0
    dwarf = clipped(rng, n, 5000 - 500 * np.log10(stars.period), 350, 3500, 5900)
    teff = np.where(giant, clipped(rng, n, 4750, 150, 4300, 5200), dwarf)
    mv = np.where(giant, 1.6 + 0.7 * rng.standard_normal(n), main_sequence(teff))
    return _stars(rng, teff, mv, giant=giant.astype(float), active=rng.uniform(0.2, 0.7, n),
                  kind=np.where(giant, "giant", "dwarf").astype(object))  # fmt: skip


def low_delta_scuti(rng: np.random.Generator, n: int) -> Stars:
    """Draw delta Scuti stars of low amplitude, 0.03 to 0.2 mag, several modes."""
    stars = delta_scuti(rng, n)
    small = np.clip(0.08 * np.exp(0.4 * rng.standard_normal(n)), 0.03, 0.2)
    tones = stars.tones.copy()
    tones[:, 0] = np.stack([1 / (0.8 * stars.period), 0.3 * small], axis=1)
    return stars._replace(amplitude=small, tones=tones)


def high_delta_scuti(rng: np.random.Generator, n: int) -> Stars:
    """Draw delta Scuti stars of high amplitude, from 0.3 mag (Garg et al. 2010 AJ 140 328)."""
    stars = delta_scuti(rng, n)
    return stars._replace(amplitude=np.clip(stars.amplitude + 0.15, 0.3, 0.9))


def rrd(rng: np.random.Generator, n: int) -> Stars:
    """Draw double-mode RR Lyrae under their fundamental period; P1 / P0 = 0.745."""
    stars = rrab(rng, n)
    period = clipped(rng, n, 0.54, 0.03, 0.46, 0.6)
    tones = np.zeros((n, 3, 2))
    tones[:, 0] = np.stack([1 / (0.745 * period), np.full(n, 0.12)], axis=1)
    return stars._replace(period=period, cycle=period, amplitude=0.4 * stars.amplitude, tones=tones)


def faint_spots(rng: np.random.Generator, n: int) -> Stars:
    """Draw spotted stars whose class is uncertain: a third of the amplitude."""
    stars = spots(rng, n)
    return stars._replace(amplitude=0.35 * stars.amplitude)


def long_secondary(rng: np.random.Generator, n: int) -> Stars:
    """Draw red giants under their long secondary period, 250 to 1200 d."""
    stars = semi_regular(rng, n)
    period = np.clip(500 * np.exp(0.3 * rng.standard_normal(n)), 250, 1200)
    return stars._replace(period=period, cycle=period)


def _lsp(rng: np.random.Generator, stars: Stars) -> Physics:
    return _sr(rng, stars._replace(period=stars.period / 9.0))


def _srd(rng: np.random.Generator, stars: Stars) -> Physics:
    n = len(stars.period)
    return _stars(rng, clipped(rng, n, 4900, 250, 4300, 5600), -2.5 + 0.8 * rng.standard_normal(n),
                  giant=np.ones(n), iron=clipped(rng, n, -0.8, 0.4, -2.0, 0.2))  # fmt: skip


def _cepheid(rng: np.random.Generator, stars: Stars) -> Physics:
    """Classical Cepheids: M_V = -2.43 (log P - 1) - 4.05 (Benedict et al. 2007 AJ 133 1810)."""
    log_p = np.log10(stars.period)
    n = len(log_p)
    mv = -2.43 * (log_p - 1) - 4.05 + 0.2 * rng.standard_normal(n)
    teff = clipped(rng, n, 6000 - 500 * (log_p - 0.6), 150, 5000, 6600)
    return _stars(rng, teff, mv, giant=np.ones(n))


def _var(rng: np.random.Generator, stars: Stars) -> Physics:
    n = len(stars.period)
    teff = np.clip(5500 * np.exp(0.25 * rng.standard_normal(n)), 3500, 10000)
    return _stars(rng, teff, main_sequence(teff) - 2 * rng.random(n))


TRAINED = (
    Population("EW", 6168, contact, _ew),
    Population("SR", 4590, semi_regular, _sr, 2.0, 0.05, 15, 45),
    Population("EA", 2916, detached, _ea, 1.0, 0.0, 10, 30),
    Population("RRAB", 2351, rrab, _rrab, 1.55, 0.05, 90, 200),
    Population("EB", 1976, semi_detached, _eb, 1.0, 0.0, 8, 25),
    Population("ROT", 1839, spots, _rot, 1.15, 0.0, 20, 40),
    Population("RRC", 796, rrc, _rrc, 1.55, 0.05, 90, 200),
    Population("HADS", 281, high_delta_scuti, _hads, 1.6, 0.05, 25, 90),
    Population("M", 268, mira, _mira, 2.0, 0.05, 20, 60),
    Population("DSCT", 255, low_delta_scuti, _dsct, 1.6, 0.05, 12, 30),
)
# Simulated but never trained on; shares are the counts of the published catalogue.
UNSEEN = (
    Population("LSP", 61, long_secondary, _lsp, 2.0, 0.05, 12, 45),
    Population("ROT:", 67, faint_spots, _rot, 1.15, 0.0, 20, 40),
    Population("DCEP", 43, cepheid_f, _cepheid, 1.65, 0.06, 5, 20),
    Population("VAR", 24, semi_regular, _var, 1.2, 0.0, 15, 40),
    Population("SRD", 20, semi_regular, _srd, 1.5, 0.05, 20, 90),
    Population("DCEPS", 19, cepheid_1o, _cepheid, 1.65, 0.06, 5, 20),
    Population("RRD", 16, rrd, _rrab, 1.55, 0.05, 90, 200),
)
