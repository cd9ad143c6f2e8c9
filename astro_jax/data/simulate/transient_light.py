"""The light of simulated transients: a light curve in rest-frame r times a cooling black body.

FLUXCAL = 10^(0.4 (27.5 - M - mu(z))) (1 + z) s(t) B(l, T) / B(l_r, T) u(l) 10^(-0.4 A)

with t = (days since maximum) / (1 + z), l = wavelength / (1 + z), s the shape of Villar et al. 2019
(ApJ 884 83, equation 1), B the Planck function per frequency, u the blanketing in the far blue, A
the extinction of host and Milky Way. As in Rainbow (Russeil et al. 2024 A&A 683 A251), with s in
one band instead of bolometric.
"""

from typing import NamedTuple

import numpy as np

from astro_jax.data.simulate.transient_classes import T_FIRST, T_LAST, Kind, Spread
from astro_jax.data.transients import ZERO_POINT
from astro_jax.passbands import NAMES, PASSBANDS

REFERENCE = PASSBANDS[NAMES.index("ztfr")].wavelength  # micrometre, where the shape is defined
HC_K = 14387.77  # h c / k, micrometre K (CODATA)
R_V = 3.1
LIGHT_SPEED, HUBBLE, MATTER = 299792.458, 70.0, 0.3  # km/s, km/s/Mpc, flat LCDM
BUMP_DAY, BUMP_WIDTH = 25.0, 6.5  # second red maximum of SN Ia, days after the first
DUST = (0.04, 0.7, 0.25)  # Milky Way E(B-V): median, sigma of its logarithm, largest
FARTHEST = 4.0  # redshift

_Z = np.linspace(0, FARTHEST, 4001)
_INVERSE_H = 1 / np.sqrt(MATTER * (1 + _Z) ** 3 + 1 - MATTER)
_COMOVING = np.concatenate([[0], np.cumsum((_INVERSE_H[1:] + _INVERSE_H[:-1]) / 2)]) * _Z[1]
with np.errstate(divide="ignore"):
    _MU = 5 * np.log10((1 + _Z) * _COMOVING * LIGHT_SPEED / HUBBLE) + 25


class Events(NamedTuple):
    """n transients of one class; all [n]."""

    redshift: np.ndarray
    mag: np.ndarray  # absolute, rest-frame r, at maximum
    rise: np.ndarray  # days, as plateau and fall
    plateau: np.ndarray
    slope: np.ndarray  # per day
    fall: np.ndarray
    hot: np.ndarray  # K, as cool
    cool: np.ndarray
    bump: np.ndarray
    host: np.ndarray  # E(B-V), mag, as mwebv
    mwebv: np.ndarray


def distance_modulus(z: np.ndarray) -> np.ndarray:
    """Return the distance modulus, mag (flat LCDM, H0 = 70 km/s/Mpc, Omega_m = 0.3)."""
    return np.interp(z, _Z, _MU)


def draw_redshift(rng: np.random.Generator, mag: np.ndarray, limit: float) -> np.ndarray:
    """Draw redshifts with p(z) ~ z^2 up to where an absolute magnitude is seen at `limit`, [n]."""
    farthest = np.interp(limit - mag, _MU[1:], _Z[1:])
    return np.maximum(farthest * np.cbrt(rng.random(len(mag))), 1e-3)


def draw_dust(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw E(B-V) of the Milky Way, mag, [n]."""
    median, sigma, most = DUST
    return np.minimum(median * np.exp(sigma * rng.standard_normal(n)), most)


def draw_events(kind: Kind, rng: np.random.Generator, n: int, limit: float) -> Events:
    """Draw n transients of a class, up to a magnitude beyond the `limit` of the survey."""

    def around(spread: Spread) -> np.ndarray:
        # beyond two sigma the shapes are no light curves any more
        return spread[0] * np.exp(spread[1] * np.clip(rng.standard_normal(n), -2, 2))

    mag = kind.mag[0] + kind.mag[1] * rng.standard_normal(n)
    plateau = around(kind.plateau)
    return Events(
        redshift=draw_redshift(rng, mag, limit + 1),
        mag=mag,
        rise=around(kind.rise),
        plateau=plateau,
        slope=np.minimum(around(kind.slope), 0.85 / plateau),  # the flux stays positive
        fall=around(kind.fall),
        hot=around((kind.temperature[0], T_FIRST)),
        cool=around((kind.temperature[1], T_LAST)),
        bump=kind.bump[0] + kind.bump[1] * rng.standard_normal(n),
        host=rng.exponential(kind.host, n),
        mwebv=draw_dust(rng, n),
    )


def shape(t: np.ndarray, rise, plateau, slope, fall) -> np.ndarray:
    """Return the shape of Villar et al. 2019 at t days after its reference time, any scale."""
    with np.errstate(over="ignore"):
        rising = 1 / (1 + np.exp(-t / rise))
    late = np.maximum(t - plateau, 0)
    return (1 - slope * np.minimum(t, plateau)) * np.exp(-late / fall) * rising


def time_of_maximum(rise, plateau, slope, fall) -> np.ndarray:
    """Return when the shape is largest, days after its reference time.

    On the plateau where 1 - slope t = slope rise (1 + exp(t / rise)), by Newton's method from the
    right of the root, where it converges monotonically; or in the fall, in closed form.
    """
    t = rise * np.log(1 / (slope * rise))
    for _ in range(8):
        grown = np.exp(t / rise)
        t = t - (1 - slope * t - slope * rise * (1 + grown)) / (-slope - slope * grown)
    on_plateau = np.minimum(t, plateau)
    with np.errstate(divide="ignore", invalid="ignore"):
        late = np.maximum(rise * np.log(np.maximum(fall / rise - 1, 1e-9)), plateau)
    both = [shape(x, rise, plateau, slope, fall) for x in (on_plateau, late)]
    return np.where(both[0] >= both[1], on_plateau, late)


def planck_ratio(wavelength: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    """Return B_nu(wavelength) / B_nu(REFERENCE) of a black body; micrometre, K."""
    with np.errstate(over="ignore"):
        here = np.expm1(HC_K / (wavelength * temperature))
    return (REFERENCE / wavelength) ** 3 * np.expm1(HC_K / (REFERENCE * temperature)) / here


def blanketing(wavelength: np.ndarray, share: float) -> np.ndarray:
    """Return what metal lines leave: all above 0.46 micrometre, 1 - share below 0.26."""
    return 1 - share * np.clip((0.46 - wavelength) / 0.20, 0, 1)


def extinction(wavelength: np.ndarray) -> np.ndarray:
    """Return A / E(B-V) of Cardelli, Clayton and Mathis 1989 (ApJ 345 245) for R_V = 3.1.

    wavelength: micrometre; below 0.3, where the law is another one, as at 0.3.
    """
    x = 1 / np.maximum(wavelength, 0.3)
    y = x - 1.82
    a = np.polyval([0.32999, -0.77530, 0.01979, 0.72085, -0.02427, -0.50447, 0.17699, 1.0], y)
    b = np.polyval([-2.09002, 5.30260, -0.62251, -5.38434, 1.07233, 2.28305, 1.41338, 0.0], y)
    red = x < 1.1
    a, b = np.where(red, 0.574 * x**1.61, a), np.where(red, -0.527 * x**1.61, b)
    return R_V * a + b


def fluxcal(mag: np.ndarray) -> np.ndarray:
    """Return AB magnitudes as FLUXCAL."""
    return 10 ** (0.4 * (ZERO_POINT - mag))


def light(
    kind: Kind, events: Events, event: np.ndarray, days: np.ndarray, wavelength: np.ndarray
) -> np.ndarray:
    """Return the flux of each point without noise, FLUXCAL, [M].

    event: [M], which of the events; days: [M] since the maximum, observer's frame; wavelength:
    [M] micrometre, observer's frame
    """
    curve = events.rise, events.plateau, events.slope, events.fall
    peak = time_of_maximum(*curve)
    scale = fluxcal(events.mag + distance_modulus(events.redshift)) * (1 + events.redshift)
    scale = scale / shape(peak, *curve)
    stretch = 1 + events.redshift[event]
    since, rest = days / stretch, wavelength / stretch
    flux = shape(since + peak[event], *(part[event] for part in curve)) * scale[event]
    if kind.bump[0]:
        red = np.clip((rest - 0.48) / 0.30, 0, 1.3)
        second = np.exp(-0.5 * ((since - BUMP_DAY) / BUMP_WIDTH) ** 2) * red
        flux += second * (events.bump * scale * shape(peak, *curve))[event]
    _, _, middle, width = kind.temperature
    cool = events.cool[event]
    with np.errstate(over="ignore"):
        temperature = cool + (events.hot[event] - cool) / (1 + np.exp((since - middle) / width))
    flux *= planck_ratio(rest, temperature) * blanketing(rest, kind.blanket)
    dust = events.host[event] * extinction(rest) + events.mwebv[event] * extinction(wavelength)
    return flux * 10 ** (-0.4 * dust)
