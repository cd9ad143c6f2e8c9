"""Hand-made features of transients: brightness, colours and pace, of the points with S/N above 3.

What a random forest needs to be a baseline that a network must beat. Passbands are put together by
wavelength (u, g, r, i, z, y); phases are days after the maximum in the best-seen of r, g, i, z.
"""

from typing import NamedTuple

import numpy as np

from astro_jax.data.simulate.transient_light import distance_modulus
from astro_jax.data.transients import ZERO_POINT, Transients, trigger_times
from astro_jax.passbands import PASSBANDS

EDGES = (0.42, 0.55, 0.69, 0.82, 0.93)  # micrometre, between u, g, r, i, z, y
COLOURS = "ugriz"  # y is rarely seen
REFERENCE = "rgiz"  # in this order: the colour whose maximum is day 0
PHASES = (-30.0, -12.0, -5.0, 5.0, 12.0, 20.0, 30.0, 45.0, 70.0)  # edges of the bins, days
SNR = 3.0
UNKNOWN = -9.0  # below every value that is known


class Maxima(NamedTuple):
    """The brightest point of each curve in each colour: flux, day since the trigger; [N, 5]."""

    flux: np.ndarray
    day: np.ndarray


def transient_features(
    transients: Transients, redshift: bool = True
) -> tuple[list[str], np.ndarray]:
    """Return the names of the features and their values, [N, F] float64, -9 where unknown.

    redshift: use it too, and the absolute magnitude that follows from it
    Of the colours u, g, r, i, z: magnitude and day of the maximum, flux in bins of phase over that
    of the reference maximum, colours at maximum; and counts, E(B-V). Everything is known at the end
    of the curve only.
    """
    good = transients.snr > SNR
    trigger = np.nan_to_num(trigger_times(transients), nan=0.0)
    day = transients.time - trigger[transients.curve]
    told = np.array([p.wavelength for p in PASSBANDS])[transients.band]
    colour = np.searchsorted(EDGES, told)
    good &= colour < len(COLOURS)
    curve, day, colour = transients.curve[good], day[good], colour[good]
    flux = transients.flux[good].astype(float)
    found = maxima(curve, colour, day, flux, len(transients))
    best, zero = reference(found)
    columns = {
        **brightness(found, best, transients, redshift),
        **phases(curve, colour, day - zero[curve], flux, best),
        **pace(curve, day, zero, len(transients)),
        "mwebv": transients.scalar("mwebv"),
    }
    values = np.stack(list(columns.values()), axis=1)
    return list(columns), np.where(np.isfinite(values), values, UNKNOWN)


def maxima(
    curve: np.ndarray, colour: np.ndarray, day: np.ndarray, flux: np.ndarray, size: int
) -> Maxima:
    """Return the brightest point in each colour, NaN where there is none."""
    cell = curve * len(COLOURS) + colour
    order = np.lexsort((flux, cell))
    last = np.flatnonzero(np.diff(cell[order], append=-1))
    top = order[last]
    peak, when = (np.full(size * len(COLOURS), np.nan) for _ in range(2))
    peak[cell[top]], when[cell[top]] = flux[top], day[top]
    return Maxima(*(x.reshape(size, len(COLOURS)) for x in (peak, when)))


def reference(found: Maxima) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and day of the maximum in the first of r, g, i, z that was seen, [N] each."""
    flux, day = (np.full(len(found.flux), np.nan) for _ in range(2))
    for letter in REFERENCE:
        k = COLOURS.index(letter)
        use = np.isnan(flux)
        flux[use], day[use] = found.flux[use, k], found.day[use, k]
    return flux, np.nan_to_num(day, nan=0.0)


def brightness(
    found: Maxima, best: np.ndarray, transients: Transients, redshift: bool
) -> dict[str, np.ndarray]:
    """Return magnitudes and colours at maximum, and what the redshift adds."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mag = ZERO_POINT - 2.5 * np.log10(found.flux)
        top = ZERO_POINT - 2.5 * np.log10(best)
    columns = {"mag": top}
    for k, letter in enumerate(COLOURS):
        columns[f"day_{letter}"] = found.day[:, k]
    for a, b in zip(COLOURS, COLOURS[1:], strict=False):
        columns[f"{a}-{b}"] = mag[:, COLOURS.index(a)] - mag[:, COLOURS.index(b)]
    if redshift:
        z = transients.scalar("redshift")
        known = np.isfinite(z) & (z > 0)
        distance = distance_modulus(np.where(known, z, 0.1))
        columns["redshift"] = z
        columns["absolute"] = np.where(known, top - distance, np.nan)
    return columns


def phases(
    curve: np.ndarray, colour: np.ndarray, phase: np.ndarray, flux: np.ndarray, best: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the mean flux in each bin of phase and colour over the reference maximum."""
    place = np.searchsorted(PHASES, phase, side="right") - 1
    inside = (place >= 0) & (place < len(PHASES) - 1)
    bins = len(PHASES) - 1
    cell = ((curve * len(COLOURS) + colour) * bins + place)[inside]
    size = len(best) * len(COLOURS) * bins
    count = np.bincount(cell, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(cell, flux[inside], size) / count
        ratio = mean.reshape(len(best), -1) / best[:, None]
    names = [f"{letter}_{PHASES[k]:g}" for letter in COLOURS for k in range(bins)]
    return {name: ratio[:, j] for j, name in enumerate(names) if not name.startswith("u")}


def pace(curve: np.ndarray, day: np.ndarray, zero: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Return how long the transient was seen before and after its maximum, and how often."""
    first, last = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(first, curve, day)
    np.maximum.at(last, curve, day)
    return {
        "rise": zero - first,
        "fall": last - zero,
        "points": np.bincount(curve, minlength=size).astype(float),
    }
