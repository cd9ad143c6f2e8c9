"""From raw light curves, spectra and catalogues to channels, by the rules of AstroM3.

Official code: Rizhko & Bloom 2024, as `rules="official"` has it; `rules="full"` is what we
recommend.  Both shift a light curve by its mean and scale it by its median absolute deviation
(MAD), take a spectrum on a grid of 2 Angstrom in the same way, and turn magnitudes into absolute
ones.  They differ in the fourth constant of a light curve and in the errors of a spectrum:

    official  rfr_score of the ASAS-SN catalogue; ivar / MAD; edge values held beyond the spectrum
    full      peak-to-peak height in MADs; 1 / sqrt(ivar) / MAD, 0 and masked where ivar is 0 or
              the spectrum does not reach
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from astro_jax.data.multimodal import VARYING, Features, Objects, Series, Spectra
from astro_jax.errors import UserError, suggest

YEAR = 365.0  # days, as in the released code
WAVELENGTHS = (3850.0, 9000.0, 2.0)  # Angstrom: first, end (excluded), step; 2575 pixels
# Constants of a light curve after the three that vary, per rules.
CONSTANTS = {
    "official": ("amplitude", "log_period", "lksl", "rfr_score", "log_mad", "span"),
    "full": ("amplitude", "log_period", "lksl", "peak_to_peak", "log_mad", "span"),
}
OWN = ("log_mad", "span")  # constants that follow from the curve and are not standardised
# The 34 columns of the published catalogue, in order (table A1 of the paper).
METADATA = (
    "mean_vmag", "phot_g_mean_mag", "e_phot_g_mean_mag", "phot_bp_mean_mag", "e_phot_bp_mean_mag",
    "phot_rp_mean_mag", "e_phot_rp_mean_mag", "bp_rp", "parallax", "parallax_error",
    "parallax_over_error", "pmra", "pmra_error", "pmdec", "pmdec_error", "j_mag", "e_j_mag",
    "h_mag", "e_h_mag", "k_mag", "e_k_mag", "w1_mag", "e_w1_mag", "w2_mag", "e_w2_mag", "w3_mag",
    "w4_mag", "j_k", "w1_w2", "w3_w4", "pm", "ruwe", "l", "b",
)  # fmt: skip
ABSOLUTE = (
    "mean_vmag", "phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag", "j_mag", "h_mag",
    "k_mag", "w1_mag", "w2_mag", "w3_mag", "w4_mag",
)  # fmt: skip
Statistics = dict[str, dict[str, list[float]]]  # modality -> channel -> [mean, deviation]


class Scaled(NamedTuple):
    """N light curves, each sorted, shifted and scaled.

    values: [M', 3] float64, `VARYING`; offsets: [N + 1], empty where a curve cannot be scaled
    log_mad, span (years), peak_to_peak (MADs): [N]; reason: [N] object, "" or why it is empty
    """

    values: np.ndarray
    offsets: np.ndarray
    log_mad: np.ndarray
    span: np.ndarray
    peak_to_peak: np.ndarray
    reason: np.ndarray


def scale_curves(
    time: np.ndarray, flux: np.ndarray, error: np.ndarray, offsets: np.ndarray
) -> Scaled:
    """Sort, drop repeated rows, shift by the mean, scale by the MAD, put time on 0 .. 1.

    time: [M] days; flux, error: [M], any linear unit.  Mean and MAD are those of the whole curve.
    Rows that are not finite are dropped; a curve without two rows, without a span or with MAD 0
    comes out empty, with the reason.
    """
    count = len(offsets) - 1
    curve = np.repeat(np.arange(count), np.diff(offsets))
    order = np.lexsort((error, flux, time, curve))
    rows = np.stack([curve, time, flux, error], axis=1)[order].astype(float)
    new = np.append(True, (np.diff(rows, axis=0) != 0).any(1))[: len(rows)]
    rows = rows[new & np.isfinite(rows).all(1)]
    curve = rows[:, 0].astype(np.int64)
    size = np.bincount(curve, minlength=count)
    new_offsets = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    mean = np.bincount(curve, rows[:, 2], count) / np.maximum(size, 1)
    mad = medians(np.abs(rows[:, 2] - medians(rows[:, 2], new_offsets)[curve]), new_offsets)
    low, high = _limits(rows[:, 1], new_offsets)
    reason = np.full(count, "", object)
    reason[high <= low] = "light curve without a time span"
    reason[~(mad > 0)] = "constant light curve: the median absolute deviation is 0"
    reason[size < 2] = "fewer than two finite observations"
    keep = (reason == "")[curve]
    rows, curve = rows[keep], curve[keep]
    span = np.where(reason == "", high - low, 1.0)
    scale = np.where(reason == "", mad, 1.0)
    shape = (rows[:, 2] - mean[curve]) / scale[curve]
    phase = (rows[:, 1] - low[curve]) / span[curve]
    size = np.where(reason == "", size, 0)
    final = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    faint, bright = _limits(shape, final)
    return Scaled(
        np.stack([phase, shape, rows[:, 3] / scale[curve]], axis=1),
        final,
        np.log10(scale),
        span / YEAR,
        bright - faint,
        reason,
    )


def medians(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the median of each slice of flat values, [N]; NaN where it is empty."""
    size = np.diff(offsets)
    order = np.lexsort((values, np.repeat(np.arange(len(size)), size)))
    ranked = np.append(values[order], np.nan)
    first = offsets[:-1]
    low, high = first + np.maximum(size - 1, 0) // 2, first + size // 2
    return np.where(size > 0, (ranked[np.minimum(low, len(values))]
                               + ranked[np.minimum(high, len(values))]) / 2, np.nan)  # fmt: skip


def _limits(values: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and the largest of each slice, [N] each; 0 where it is empty."""
    low, high, filled = np.zeros(len(offsets) - 1), np.zeros(len(offsets) - 1), np.diff(offsets) > 0
    starts = offsets[:-1][filled]
    if filled.any():
        low[filled] = np.minimum.reduceat(values, starts)
        high[filled] = np.maximum.reduceat(values, starts)
    return low, high


def string_lengths(
    time: np.ndarray, flux: np.ndarray, offsets: np.ndarray, period: np.ndarray
) -> np.ndarray:
    """Return the Lafler-Kinman statistic of N folded curves, [N]; 1 for noise, 0 for a clean fold.

    sum (f_i+1 - f_i)^2 / sum (f_i - mean)^2 (n - 1) / (2 n) in the order of phase, the last point
    followed by the first (Lafler & Kinman 1965 ApJS 11 216; factor of Clarke 2002 A&A 386 763).
    """
    size = np.diff(offsets)
    curve = np.repeat(np.arange(len(size)), size)
    phase = (time / period[curve]) % 1.0
    order = np.lexsort((phase, curve))
    ranked = flux[order]
    following = np.append(ranked[1:], 0.0)
    ends = offsets[1:][size > 0] - 1
    following[ends] = ranked[offsets[:-1][size > 0]]
    mean = np.bincount(curve, flux, len(size)) / np.maximum(size, 1)
    steps = np.bincount(curve, (following - ranked) ** 2, len(size))
    spread = np.bincount(curve, (flux - mean[curve]) ** 2, len(size))
    return steps / np.maximum(spread, 1e-300) * (size - 1) / (2.0 * np.maximum(size, 1))


def series(scaled: Scaled, constants: Mapping[str, np.ndarray], rules: str) -> Series:
    """Return scaled curves with their constants: nine channels.

    constants: {name: [N]} of amplitude, log_period, lksl and, officially, rfr_score; NaN = unknown
    """
    known = {**constants, "peak_to_peak": scaled.peak_to_peak}
    known |= {"log_mad": scaled.log_mad, "span": scaled.span}
    names = choose(CONSTANTS, rules)
    columns = np.stack([known[name] for name in names], axis=1)
    curve = np.repeat(np.arange(len(columns)), np.diff(scaled.offsets))
    values = np.concatenate([scaled.values, columns[curve]], axis=1).astype(np.float32)
    return Series((*VARYING, *names), values, scaled.offsets)


def choose(table: Mapping[str, Any], rules: str) -> Any:
    """Return the entry of a table by rules; UserError names the rules there are."""
    if rules not in table:
        raise UserError(f"config.data.rules '{rules}' is unknown{suggest(rules, table)}")
    return table[rules]


def wavelength_grid(wavelengths: tuple[float, float, float] = WAVELENGTHS) -> np.ndarray:
    """Return the grid of (first, end, step), [S] float64 Angstrom; the end is not in it."""
    first, end, step = wavelengths
    if not (step > 0 and end > first > 0):
        raise UserError(f"wavelengths={tuple(wavelengths)}: give first, end and step, in Angstrom")
    return np.arange(first, end, step)


def official_spectrum(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (flux, error, log_mad) [S, 3] and the mask [S], all True, as released.

    Edge values are held; the mean is over all pixels, the MAD over those whose flux is not 0; the
    error channel is inverse variance over MAD, which the paper calls an uncertainty.
    """
    flux, ivar = (np.interp(grid, wavelength, x) for x in (flux, ivar))
    return _scaled_spectrum(flux, ivar, np.ones(len(grid), bool), flux != 0)


def full_spectrum(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (flux, error, log_mad) [S, 3] and the mask [S] of pixels that were observed.

    A pixel counts where the spectrum reaches it and neither neighbour on the spectrum's own grid
    has ivar 0; mean and MAD are over those, and the error is 1 / sqrt(ivar) over MAD.
    """
    good, seen = np.isfinite(flux) & (ivar > 0), observed(wavelength, flux, ivar, grid)
    flux = np.interp(grid, wavelength, np.where(good, flux, 0.0))
    ivar = np.interp(grid, wavelength, np.where(good, ivar, 0.0))
    sigma = 1.0 / np.sqrt(np.where(seen, np.maximum(ivar, 1e-300), 1.0))
    return _scaled_spectrum(flux, sigma, seen, seen)


def observed(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, grid: np.ndarray
) -> np.ndarray:
    """Return which pixels of the grid count in `full_spectrum`, [S] bool."""
    good = (np.isfinite(flux) & (ivar > 0)).astype(float)
    return np.interp(grid, wavelength, good, left=0.0, right=0.0) > 0.999


def _scaled_spectrum(
    flux: np.ndarray, error: np.ndarray, mask: np.ndarray, spread: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and error shifted and scaled; empty mask where the MAD (over `spread`) is 0."""
    if not mask.any() or not spread.any():
        return np.zeros((len(flux), 3), np.float32), np.zeros(len(flux), bool)
    middle = np.median(flux[spread])
    mad = np.median(np.abs(flux[spread] - middle))
    if not (np.isfinite(mad) and mad > 0):
        return np.zeros((len(flux), 3), np.float32), np.zeros(len(flux), bool)
    rows = [(flux - flux[mask].mean()) / mad, error / mad, np.full(len(flux), np.log10(mad))]
    return np.where(mask[:, None], np.stack(rows, axis=1), 0.0).astype(np.float32), mask


SPECTRUM_RULES = {"official": official_spectrum, "full": full_spectrum}
SPECTRUM_CHANNELS = ("flux", "error", "log_mad")


def features(catalogue: Mapping[str, np.ndarray], rules: str) -> Features:
    """Return the catalogue columns as features, not yet standardised, NaN values masked.

    catalogue: {column: [N]} with all of METADATA.  Magnitudes become absolute, m - 10 + 5 log10 of
    the parallax in mas: officially 1 mas stands for one that is not positive, in `full` these
    magnitudes are unknown.  l and b (degrees) become cos l and sin b.
    """
    missing = [name for name in METADATA if name not in catalogue]
    if missing:
        raise UserError(
            f"the catalogue lacks column '{missing[0]}'{suggest(missing[0], catalogue)}"
        )
    values = {name: np.asarray(catalogue[name], float) for name in METADATA}
    parallax = values["parallax"]
    substitute = choose({"official": 1.0, "full": np.nan}, rules)
    distance = np.log10(np.where(parallax > 0, parallax, substitute))
    for name in ABSOLUTE:
        values[name] = values[name] - 10.0 + 5.0 * distance
    values["l"] = np.cos(np.radians(values["l"]))
    values["b"] = np.sin(np.radians(values["b"]))
    table = np.stack([values[name] for name in METADATA], axis=1)
    known = np.isfinite(table)
    return Features(METADATA, np.where(known, table, 0.0), known)  # float64 until standardised


def statistics(objects: Objects) -> Statistics:
    """Return mean and population deviation of what is standardised, over known values.

    Of a light curve the constants that are not its own (amplitude, log_period, lksl, and the
    fourth), one value an object; of a catalogue all columns.  A deviation of 0 becomes 1.
    """
    told: Statistics = {}
    for name, part in objects.parts.items():
        if isinstance(part, Series):
            told[name] = {c: _moments(part.constants(c)) for c in _standardised(part)}
        elif isinstance(part, Features):
            told[name] = {c: _moments(part.column(c)) for c in part.channels}
    return told


def _standardised(part: Series) -> list[str]:
    return [name for name in part.channels if name not in (*VARYING, *OWN)]


def _moments(values: np.ndarray) -> list[float]:
    known = values[np.isfinite(values)].astype(float)
    if not len(known):
        return [0.0, 1.0]
    spread = float(known.std())
    return [float(known.mean()), spread if spread > 0 else 1.0]


def standardised(objects: Objects, told: Statistics) -> Objects:
    """Return the objects with channels shifted and scaled by `statistics` of a training split.

    A constant of a light curve that is unknown becomes 0, the mean.
    """
    parts = {}
    for name, part in objects.parts.items():
        if isinstance(part, Spectra) or name not in told:
            continue
        values = part.values.astype(float)
        for channel, (mean, spread) in told[name].items():
            k = part.channels.index(channel)
            values[:, k] = (values[:, k] - mean) / spread
        if isinstance(part, Series):
            values = np.nan_to_num(values, nan=0.0)
        else:
            values = np.where(part.mask, values, 0.0)
        parts[name] = type(part)(**{**vars(part), "values": values.astype(np.float32)})
    return objects.with_parts(**parts)
