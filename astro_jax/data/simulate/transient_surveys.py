"""How simulated surveys of transients look: passbands, depths, visits, noise.

Numbers marked "ours" were set by us; those of YSE until the points of a curve and their shares of
the bands agreed with the shared real objects of like brightness (median 40 points for 44).
"""

from typing import NamedTuple

import numpy as np

from astro_jax.data.simulate.transient_light import fluxcal
from astro_jax.passbands import NAMES, PASSBANDS

BEFORE, AFTER = 100.0, 120.0  # days around the maximum in which a field is looked at


class Visits(NamedTuple):
    """One telescope: bands, m5 (5-sigma depth, mag) of each, mean days between visits of each.

    shape: of the gamma distribution of the days between visits, large = regular
    together: bands are visited in the same nights, so that weather takes all of them
    usable: share of the visits that are made
    """

    bands: tuple[str, ...]
    depth: tuple[float, ...]
    gap: tuple[float, ...]
    shape: float
    together: bool
    usable: float


class Survey(NamedTuple):
    """A survey: its telescopes; years (MJD), length of the season (days) in which a field is seen.

    scatter: of m5 from night to night, mag; spread: of the logarithm of the days between visits
    from field to field; limit: an object must have a 5-sigma point brighter than this magnitude;
    snr: points must be above it, 0 = forced photometry
    """

    telescopes: tuple[Visits, ...]
    years: tuple[float, float]
    season: float
    scatter: float
    spread: float
    limit: float
    snr: float


# ZTF: Bellm et al. 2019 PASP 131 018002, public survey, g and r every 3 nights (regularity .25 d);
# 72 % of the nights usable; limit of the Bright Transient Survey's spectroscopy (Fremling et al.
# 2020 ApJ 895 32: 18.5, and most to 19).
ZTF = Visits(("ztfg", "ztfr"), (20.8, 20.6), (3.0, 3.0), 72.0, True, 0.72)
# YSE: Jones et al. 2021 ApJ 908 143: Pan-STARRS to 21.5 in gri and 20.5 in z, every 3 nights in two
# of its bands; half of the visits made (ours).
PS1 = Visits(
    ("ps1g", "ps1r", "ps1i", "ps1z"),
    (21.5, 21.5, 21.3, 20.7),
    (6.0, 6.0, 6.0, 12.0),
    4.0,
    False,
    0.5,
)
# LSST: depths of Ivezic et al. 2019 ApJ 873 111 table 2; mean visits a year u 5.6, g 8, r 18.4,
# i 18.4, z 16, y 16, in a season of about half a year.
LSST = Visits(
    ("lsstu", "lsstg", "lsstr", "lssti", "lsstz", "lssty"),
    (23.9, 25.0, 24.7, 24.0, 23.3, 22.1),
    (32.0, 24.0, 10.0, 10.0, 11.0, 11.0),
    1.0,
    False,
    1.0,
)
SURVEYS = {
    "ztf": Survey((ZTF,), (58200.0, 60200.0), 240.0, 0.35, 0.3, 19.0, 0.0),
    "lsst": Survey((LSST,), (60800.0, 64450.0), 180.0, 0.25, 0.2, 24.0, 0.0),
    "yse": Survey((ZTF, PS1), (58800.0, 60200.0), 180.0, 0.35, 0.45, 20.3, 4.0),
}
DETECTIONS = 3  # 5-sigma points that an object needs
DETECTION_SNR = 5.0


class Points(NamedTuple):
    """M visits of n objects, by object and time; all [M]."""

    event: np.ndarray
    days: np.ndarray  # since the maximum, observer's frame
    band: np.ndarray  # place in PASSBANDS
    depth: np.ndarray  # m5, mag
    wavelength: np.ndarray  # micrometre


def observe(survey: Survey, rng: np.random.Generator, n: int) -> Points:
    """Draw when n objects are visited: the maximum falls anywhere in the season or before it."""
    first = -rng.uniform(-20.0, survey.season, n)  # ours: an object may rise before its season
    start, end = np.maximum(first, -BEFORE), np.minimum(first + survey.season, AFTER)
    pace = np.exp(survey.spread * np.clip(rng.standard_normal(n), -2, 2))[:, None]
    columns = []
    for telescope in survey.telescopes:
        nights = None
        for name, depth, gap in zip(telescope.bands, telescope.depth, telescope.gap, strict=True):
            if nights is None or not telescope.together:
                nights = draw_nights(telescope, gap, rng, n)
            days = start[:, None] + nights * pace
            made = np.isfinite(nights) & (days < end[:, None])
            event = np.nonzero(made)[0]
            days = days[made] + rng.uniform(0, 0.1, len(event))  # ours: hours between filters
            depths = depth + survey.scatter * rng.standard_normal(len(event))
            columns.append((event, days, np.full(len(event), NAMES.index(name)), depths))
    event, days, band, depth = (np.concatenate(c) for c in zip(*columns, strict=True))
    order = np.lexsort((days, event))
    wavelength = np.array([p.wavelength for p in PASSBANDS])[band[order]]
    return Points(event[order], days[order], band[order], depth[order], wavelength)


def draw_nights(telescope: Visits, gap: float, rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw the days of visits since the first day, [n, most]; NaN where none is made."""
    most = int((BEFORE + AFTER) / gap * 2.5) + 6  # enough for the fields of the shortest gaps
    gaps = rng.gamma(telescope.shape, gap / telescope.shape, (n, most))
    gaps[:, 0] *= rng.random(n)
    nights = np.cumsum(gaps, axis=1)
    return np.where(rng.random((n, most)) < telescope.usable, nights, np.nan)


def noise(flux: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return the 1-sigma error of fluxes, FLUXCAL: sky, photon noise, 2 % of calibration.

    The sky from m5, the others ours: sqrt((f5 / 5)^2 + 0.001 f f5 + (0.02 f)^2).
    """
    sky, flux = fluxcal(depth), np.maximum(flux, 0)
    return np.sqrt((sky / 5) ** 2 + 0.001 * flux * sky + (0.02 * flux) ** 2)


def measure(
    survey: Survey, points: Points, flux: np.ndarray, rng: np.random.Generator, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the noise; return measured flux, stated error [M], and which objects are found [n].

    The stated error is that of the measured flux. Found is an object with `DETECTIONS` 5-sigma
    points of which one is brighter than the limit of the survey.
    """
    measured = flux + noise(flux, points.depth) * rng.standard_normal(len(flux))
    error = noise(measured, points.depth)
    detected = measured >= DETECTION_SNR * error
    bright = detected & (measured > fluxcal(survey.limit))
    count = np.bincount(points.event[detected], minlength=n)
    found = np.bincount(points.event[bright], minlength=n) > 0
    return measured, error, found & (count >= DETECTIONS)
