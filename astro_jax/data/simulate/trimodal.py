"""Simulate a survey of ten classes in light curves, spectra and catalogue: nothing here is real.

Frequencies are those of the published data (Rizhko & Bloom 2024).  A star's period, amplitude,
temperature, luminosity and composition belong together, so that the three modalities carry
overlapping and distinct information: the light curve has the shape, the spectrum the temperature,
lines and bands, the catalogue colours, luminosity and motion.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from astro_jax.data.curves import flat_index
from astro_jax.data.multimodal import Objects, Series, Spectra, hide, join
from astro_jax.data.multimodal_rules import (
    SPECTRUM_CHANNELS,
    SPECTRUM_RULES,
    WAVELENGTHS,
    choose,
    features,
    scale_curves,
    series,
    string_lengths,
    wavelength_grid,
)
from astro_jax.data.simulate.cadence import SITES, Epochs, observe
from astro_jax.data.simulate.catalogue import catalogue, place_stars
from astro_jax.data.simulate.light import signal
from astro_jax.data.simulate.photometry import Band, Law, Survey, measure
from astro_jax.data.simulate.spectra import spectra
from astro_jax.data.simulate.stars import PHASES, Stars
from astro_jax.data.simulate.trimodal_classes import TRAINED, UNSEEN, Physics, Population
from astro_jax.errors import UserError, suggest

BLOCK = 128  # stars that share a stream of random numbers; another value is another survey
SURVEY_STREAM, BLOCK_STREAM = 10, 11
WRONG = 0.02  # share of wrong labels
ODD = 0.01  # share of odd members
# What a star of a class is called by mistake; None: the label stays, the period is half or double
MISTAKES = {"EW": ("HADS", "RRC"), "EB": ("RRAB",), "M": ("SR",)}
NOISE = Law(0.009, 0.03, 14.5, 0.3), Law(0.012, 0.035, 14.5, 0.3)  # ASAS-SN, rounded
BANDS = {
    "V": Band("V", 0.0, 0.0, (0.3, 0.9), *NOISE, 0.01, 17.0),
    "g": Band("g", -0.25, 0.3, (0.3, 0.9), *NOISE, 0.01, 17.5),
}
ZERO = 16.4  # magnitude of 1 mJy (AB)


def simulate_objects(
    count: int,
    seed: int,
    rules: str = "full",
    spectra_share: float = 1.0,
    bands: tuple[str, ...] = ("V",),
    wavelengths: tuple = WAVELENGTHS,
    unseen: bool = False,
) -> Objects:
    """Simulate `count` objects; not standardised (see `multimodal_rules.standardised`).

    rules: of the channels, see `multimodal_rules`; spectra_share: share of objects with a spectrum
    bands: the first is the modality `photometry`, others are `photometry_<band>`
    unseen: the classes that are never trained on, instead of the ten
    Columns: id; label, wrong for 2 % (EW as HADS or RRC, EB as RRAB, M as SR), true_label; period
    (days, of the catalogue: half or double for another 2 %), true_period; subtype (ROT giant or
    dwarf, M oxygen or carbon); odd: "" or the modality that is another star's, for 1 %; teff (K).
    A pure function of its arguments: star k of a seed is the same whatever `count`.
    Raises UserError for unknown rules or bands, or numbers that cannot be.
    """
    if count < 1 or seed < 0 or not 0 <= spectra_share <= 1:
        raise UserError(
            f"count={count}, seed={seed}, spectra_share={spectra_share}: give at least 1, at least "
            "0, and a share"
        )
    for band in bands:
        if band not in BANDS:
            raise UserError(f"no band '{band}' to simulate{suggest(band, BANDS)}")
    survey = Survey(tuple(BANDS[band] for band in bands))
    epochs = observe(SITES["asas"], _stream(seed, SURVEY_STREAM, 0))
    populations = UNSEEN if unseen else TRAINED
    grid = wavelength_grid(wavelengths)
    blocks = [
        _block(populations, survey, epochs, seed, k + 1000 * unseen, rules, grid)
        for k in range(-(-count // BLOCK))
    ]
    objects = join(blocks).take(np.arange(count))
    lucky = objects.columns["lucky"].to_numpy()
    objects = hide(objects, "spectrum", lucky < spectra_share)
    return Objects(objects.columns.drop_columns(["lucky"]), objects.parts)


def _stream(seed: int, kind: int, number: int) -> np.random.Generator:
    sequence = np.random.SeedSequence(seed, spawn_key=(kind, number))
    return np.random.Generator(np.random.Philox(sequence))


def _block(
    populations: tuple[Population, ...],
    survey: Survey,
    epochs: Epochs,
    seed: int,
    number: int,
    rules: str,
    grid: np.ndarray,
) -> Objects:
    """Draw the stars of block `number` and observe them: always BLOCK stars."""
    rng = _stream(seed, BLOCK_STREAM, number)
    kind, stars, physics, places = _draw(populations, rng)
    names = np.array([p.label for p in populations])[kind]
    speed = np.array([p.speed for p in populations])[kind]
    columns, period = _columns(names, stars, physics, number, rng)
    height = _height(stars)
    table = catalogue(physics, places, height, speed, rng)
    noise = np.clip(35 * 10 ** (-0.12 * (places["v"] - 14)) * rng.lognormal(0, 0.4, BLOCK), 4, 200)
    flux, ivar = spectra(physics, places["extinction"], noise, grid, rng)
    redness, lag = np.array([(p.redness, p.lag) for p in populations])[kind].T
    curves = _curves(survey, epochs, stars, redness, lag, places["v"], rng)
    swap = _odd(columns["odd"], rng)
    flux, ivar = flux[swap["spectrum"]], ivar[swap["spectrum"]]
    table = {name: values[swap["metadata"]] for name, values in table.items()}
    parts: dict[str, Any] = {
        name: _series(curve, swap["photometry"], period, height, rules, rng)
        for name, curve in zip(_names(survey), curves, strict=True)
    }
    parts["spectrum"] = _spectra(flux, ivar, grid, rules)
    parts["metadata"] = features(table, rules)
    return Objects(pa.table({**columns, **_plain(table)}), parts)


def _names(survey: Survey) -> list[str]:
    return ["photometry", *(f"photometry_{band.name}" for band in survey.bands[1:])]


def _plain(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the catalogue columns that plots need: brightness, colour, parallax."""
    return {name: table[name] for name in ("mean_vmag", "bp_rp", "phot_g_mean_mag", "parallax")}


def _draw(
    populations: tuple[Population, ...], rng: np.random.Generator
) -> tuple[np.ndarray, Stars, Physics, dict[str, np.ndarray]]:
    """Return class numbers, light curves, stars and places of a block."""
    share = np.array([p.share for p in populations], float)
    kind = rng.choice(len(populations), BLOCK, p=share / share.sum())
    members = [np.flatnonzero(kind == k) for k in range(len(populations))]
    drawn, known, places = [], [], []
    for population, member in zip(populations, members, strict=True):
        drawn.append(population.draw(rng, len(member)))
        known.append(population.physics(rng, drawn[-1]))
        places.append(place_stars(known[-1], population, rng))
    order = np.argsort(np.concatenate(members))
    stars = Stars(*(np.concatenate(field)[order] for field in zip(*drawn, strict=True)))
    physics = Physics(*(np.concatenate(field)[order] for field in zip(*known, strict=True)))
    where = {name: np.concatenate([p[name] for p in places])[order] for name in places[0]}
    return kind, stars._replace(phases=rng.random((BLOCK, PHASES))), physics, where


def _height(stars: Stars) -> np.ndarray:
    """Return the height of the variation, mag in V, [n]; of eclipses from a dense fold."""
    cycle = np.linspace(0, 1, 200, endpoint=False)
    count = len(stars.period)
    star = np.repeat(np.arange(count), len(cycle))
    time = (cycle[None] * stars.cycle[:, None]).ravel()
    still = stars._replace(wobble=np.zeros_like(stars.wobble))
    change = signal(still, np.ones(count), np.zeros(count), np.zeros(1), 48823.0 + time, star)
    return np.ptp(change.reshape(count, -1), axis=1)


def _columns(
    names: np.ndarray, stars: Stars, physics: Physics, number: int, rng: np.random.Generator
) -> tuple[dict[str, Any], np.ndarray]:
    """Return the scalar columns, and the period of the catalogue, with mistakes planted."""
    n = len(names)
    chance, pick, slip = rng.random((3, n))
    label = names.astype(object).copy()
    for k in np.flatnonzero(np.isin(names, list(MISTAKES))):
        choices = MISTAKES[names[k]]
        # three classes alone, 39 % of all stars: their share is scaled so that 2 % of all are wrong
        if chance[k] < WRONG / 0.39:
            label[k] = choices[int(pick[k] * len(choices))]
    factor = np.where(slip < WRONG / 2, 0.5, np.where(slip < WRONG, 2.0, 1.0))
    period = stars.period * factor
    odd = rng.random(n) < ODD
    kinds = np.array(["photometry", "spectrum", "metadata"])[rng.integers(0, 3, n)]
    first = number * BLOCK
    columns = {
        "id": [f"sim-{k:06d}" for k in range(first, first + n)],
        "label": list(label),
        "true_label": list(names),
        "period": period,
        "true_period": stars.period,
        "subtype": list(physics.kind),
        "odd": np.where(odd, kinds, "").tolist(),
        "teff": physics.teff,
        "lucky": rng.random(n),
    }
    return columns, period


def _odd(odd: list[str], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return for each modality which star it is of: odd members have that of another one."""
    n = len(odd)
    other = (np.arange(n) + rng.integers(1, n, n)) % n
    return {
        name: np.where(np.array(odd) == name, other, np.arange(n))
        for name in ("photometry", "spectrum", "metadata")
    }


def _curves(
    survey: Survey,
    epochs: Epochs,
    stars: Stars,
    redness: np.ndarray,
    lag: np.ndarray,
    v: np.ndarray,
    rng: np.random.Generator,
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Return time (MJD), flux and its error (mJy), and offsets, of each band."""
    bands = len(survey.bands)
    field = np.repeat(rng.integers(len(epochs.offsets) - 1, size=len(v)), bands)
    low, high = np.array([band.keep for band in survey.bands]).T
    share = rng.uniform(low, high, (len(v), bands)).ravel()
    index, offsets = flat_index(epochs.offsets, field)
    curve = np.repeat(np.arange(len(field)), np.diff(offsets))
    keep = rng.random(len(index)) < share[curve]
    time, curve = epochs.time[index][keep], curve[keep]
    red, zero = np.array([(band.red, band.zero) for band in survey.bands]).T
    exact = np.repeat(v, bands)[curve] + zero[curve % bands]
    exact += signal(stars, redness, lag, red, time, curve)
    noise, error = measure(survey, exact, curve, rng)
    flux = 10 ** (-0.4 * (exact + noise - ZERO))
    fluxerr = 0.4 * np.log(10) * error * flux
    pieces = []
    for k in range(bands):
        own = curve % bands == k
        counts = np.bincount(curve[own] // bands, minlength=len(v))
        ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        pieces.append((time[own], flux[own], fluxerr[own], ends))
    return pieces


def _series(
    curve: tuple, whose: np.ndarray, period: np.ndarray, height: np.ndarray, rules: str, rng: Any
) -> Series:
    """Return the light curves as channels, with the constants of the catalogue."""
    time, flux, error, offsets = curve
    index, offsets = flat_index(offsets, whose)
    time, flux, error = time[index], flux[index], error[index]
    n = len(period)
    constants = {
        "amplitude": height[whose] * np.exp(0.08 * rng.standard_normal(n)),
        "log_period": np.log10(period),
        "lksl": string_lengths(time, flux, offsets, period),
        "rfr_score": np.clip(rng.beta(12, 1.5, n), 0, 1),  # of the classifier of ASAS-SN; ours
    }
    return series(scale_curves(time, flux, error, offsets), constants, rules)


def _spectra(flux: np.ndarray, ivar: np.ndarray, grid: np.ndarray, rules: str) -> Spectra:
    rule = choose(SPECTRUM_RULES, rules)
    values, mask = zip(
        *(rule(grid, f, i, grid) for f, i in zip(flux, ivar, strict=True)), strict=True
    )
    return Spectra(
        SPECTRUM_CHANNELS, grid, np.stack(values), np.stack(mask), np.arange(len(flux) + 1)
    )
