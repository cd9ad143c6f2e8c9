"""The rules by which an observation of a file becomes one of a transient, or is quarantined.

In this order, each observation taking the first that holds:
  1. what the reader of the format found (a line of the wrong width, text where a number belongs,
     an upper limit, a bad quality flag, lists that do not pair up, no id; fluxes of an object that
     are its magnitudes, see `magnitude_like`);
  2. a time that is missing, not finite, or more than 200,000 days from MJD 0;
  3. a band that is missing: empty or null (a name that is not known stops the reading instead);
  4. a flux that is missing or not finite;
  5. an error that is missing, not finite, zero or negative: its S/N is unknown;
  6. a time that the curve already has in this band: the first usable one in file order stays.
Negative fluxes and non-detections with a flux are measurements and stay. Epochs out of order are
sorted. A redshift that is not finite, 0 or negative, and an E(B-V) that is not finite or negative,
is null: catalogues write 0, -1, -9 or -99 for "not known". Nothing at redshift 0 has a distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from astro_jax.data.clean import (
    MAGNITUDES,
    NO_BAND,
    NO_ERROR,
    NO_FLUX,
    account,
    flag_first,
    order_epochs,
    recount,
    time_rules,
)
from astro_jax.data.ledger import Quarantined
from astro_jax.data.transients import ZERO_POINT, Transients, reduce_curves
from astro_jax.errors import UserError
from astro_jax.passbands import MISSING

FAINTEST, BRIGHTEST = 27.5, 8.0  # magnitudes of anything that surveys measure
SMALL_ERROR = 0.4  # mag; as that of a flux of 27.5 or less it means S/N > 20 at magnitude 24
# Values by which tables say that there is no magnitude.
NINES = (90, 99, 99.9, 99.99, 99.999, 999, 999.9, 999.99, 999.999, 9999, 99999)
STEADY = 1.5  # largest magnitude over smallest: 14 to 21; fluxes of a transient vary by more


@dataclass(frozen=True)
class RawTransients(Transients):
    """Transients as a file gives them, before cleaning.

    flag: [M] uint8, index into `clean.REASONS`
    lost: objects that could not be read, `file` left empty; notes: remarks for the summary
    """

    flag: np.ndarray
    lost: tuple[Quarantined, ...] = ()
    notes: tuple[str, ...] = ()


def clean_transients(
    raw: RawTransients, files: Sequence[str] | None = None, every_row: bool = False
) -> tuple[Transients, list[Quarantined], list[str]]:
    """Apply the rules of this module; return transients, what they took out, and remarks.

    files: the file of each curve, [N], for the quarantine; every_row: keep empty curves
    """
    flag = flag_first(
        raw.flag,
        *time_rules(raw.time),
        (NO_BAND, raw.band == MISSING),
        (NO_FLUX, ~np.isfinite(raw.flux)),
        (NO_ERROR, ~(np.isfinite(raw.fluxerr) & (raw.fluxerr > 0))),
    )
    curve = raw.curve
    use = order_epochs(raw.time, curve, flag, raw.band)
    lengths = np.bincount(curve[use], minlength=len(raw))
    alive = (lengths > 0) | every_row
    columns, notes = known_scalars(raw.columns.filter(pa.array(alive)))
    transients = Transients(
        raw.time[use],
        raw.band[use],
        raw.flux[use],
        raw.fluxerr[use],
        np.concatenate([[0], np.cumsum(lengths[alive])]).astype(np.int64),
        recount(columns, lengths[alive]),
    )
    return transients, account(raw, curve, flag, alive, files), notes


def known_scalars(columns: pa.Table) -> tuple[pa.Table, list[str]]:
    """Return the columns with null for redshifts and E(B-V) that say "not known", and remarks."""
    notes = []
    for name in ("redshift", "mwebv"):
        if name not in columns.column_names:
            continue
        given = columns[name].cast(pa.float64())
        values = given.fill_null(np.nan).to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            known = values > 0 if name == "redshift" else values >= 0
        bad = ~(np.isfinite(values) & known)
        if bad.sum() > given.null_count:
            below = "0 or below" if name == "redshift" else "below 0"
            count = bad.sum() - given.null_count
            notes.append(f"{count:,} values of {name} {below}: set to null")
        place = columns.column_names.index(name)
        columns = columns.set_column(place, name, pa.array(values, mask=bad))
    return columns, notes


def to_fluxcal(
    flux: np.ndarray, fluxerr: np.ndarray, zero_point: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return fluxes and errors [M] of a zero point (AB magnitude of flux 1) as FLUXCAL."""
    scale = 10 ** (0.4 * (ZERO_POINT - np.asarray(zero_point, float)))
    with np.errstate(over="ignore", invalid="ignore"):
        return flux * scale, fluxerr * scale


def magnitudes_to_fluxcal(mag: np.ndarray, magerr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return AB magnitudes and errors, [M] each, as FLUXCAL.

    f = 10^(0.4 (27.5 - m)), df = 0.4 ln(10) f dm.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        flux = 10 ** (0.4 * (ZERO_POINT - mag))
        return flux, 0.4 * np.log(10) * flux * magerr


def refuse_magnitudes(flux: np.ndarray, fluxerr: np.ndarray, where: str) -> None:
    """Raise UserError where a column of fluxes holds what only magnitudes look like.

    All positive, nearly all between 8 and 27.5, with a median error below 0.4: as fluxes of zero
    point 27.5 these would be S/N > 20 at magnitude 24 and fainter. Values by which tables say that
    there is no magnitude (-9, and NINES of either sign) are passed over, unless most are.
    """
    good, told = told_values(flux, fluxerr)
    if told.sum() < 3 or 2 * told.sum() < good.sum():
        return
    flux, fluxerr = flux[told], fluxerr[told]
    low, high = np.quantile(flux, [0.02, 0.98])
    inside = flux.min() > 0 and low > BRIGHTEST and high < FAINTEST
    if inside and np.median(fluxerr) < SMALL_ERROR:
        raise UserError(
            f"{where}: values from {flux.min():.4g} to {flux.max():.4g} with errors near "
            f"{np.median(fluxerr):.2g} look like magnitudes, not fluxes: name the columns mag and "
            "magerr, or give zero_point (AB magnitude of flux 1) if they are fluxes"
        )


def told_values(flux: np.ndarray, fluxerr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which values are finite, and which of them are no sign for "no magnitude", [M]."""
    good = np.isfinite(flux) & np.isfinite(fluxerr)
    size = np.round(np.abs(np.where(good, flux, 0.0).astype(float)), 3)
    return good, good & ~np.isin(size, NINES) & (flux != -9)


def magnitude_like(
    flux: np.ndarray, fluxerr: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return which objects hold magnitudes in the place of fluxes, and which may do so, [N] each.

    flux, fluxerr: [M], of zero point 27.5 if they are fluxes; offsets: [N + 1]
    May: every value that is told lies between 8 and 27.5, and most errors are below 0.4. Surely:
    there are three or more besides, and the largest is less than 1.5 times the smallest. A faint
    transient with such fluxes would have S/N > 20 at magnitude 24 without fading or any point
    that lies lower. Passed over is what `refuse_magnitudes` passes over.
    """
    good, told = told_values(flux, fluxerr)
    with np.errstate(invalid="ignore"):
        inside = told & (flux > BRIGHTEST) & (flux < FAINTEST)
        small = told & (fluxerr < SMALL_ERROR)
    curve = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    goods, tolds, insides, smalls = (
        np.bincount(curve[part], minlength=len(offsets) - 1) for part in (good, told, inside, small)
    )
    may = (tolds > 0) & (2 * tolds >= goods) & (insides == tolds) & (2 * smalls > tolds)
    largest = reduce_curves(np.maximum, np.where(inside, flux, -np.inf), offsets, -np.inf)
    smallest = reduce_curves(np.minimum, np.where(inside, flux, np.inf), offsets, np.inf)
    sure = may & (tolds >= 3) & (largest < STEADY * smallest)
    return sure, may & ~sure


def flag_magnitudes(raw: RawTransients) -> RawTransients:
    """Flag the points of objects that hold magnitudes; name those that may do so in the notes.

    raw: with fluxes of which nobody says the zero point
    """
    sure, may = magnitude_like(raw.flux, raw.fluxerr, raw.offsets)
    flag = flag_first(raw.flag, (MAGNITUDES, sure[raw.curve]))
    ids = [str(name) for name in raw.columns["id"].filter(pa.array(may)).to_pylist()]
    if not ids:
        return replace(raw, flag=flag)
    shown = ", ".join(ids[:10]) + (f" and {len(ids) - 10:,} more" if len(ids) > 10 else "")
    note = (
        f"{len(ids):,} objects may hold magnitudes, not fluxes (all values 8 to 27.5, errors "
        f"below {SMALL_ERROR:g}; zero_point says that they are fluxes): {shown}"
    )
    return replace(raw, flag=flag, notes=(*raw.notes, note))
