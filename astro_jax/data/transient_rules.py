"""The rules by which an observation of a file becomes one of a transient, or is quarantined.

In this order, each observation taking the first that holds:
  1. what the reader of the format found (a line of the wrong width, text where a number belongs,
     an upper limit, a bad quality flag, lists that do not pair up, no id);
  2. a time that is missing, not finite, or more than 200,000 days from MJD 0;
  3. a band that is missing: empty or null (a name that is not known stops the reading instead);
  4. a flux that is missing or not finite;
  5. an error that is missing, not finite, zero or negative: its S/N is unknown;
  6. a time that the curve already has in this band: the first usable one in file order stays.
Negative fluxes and non-detections with a flux are measurements and stay. Epochs out of order are
sorted. A redshift or E(B-V) that is not finite, or negative (-9, -99: "not known"), is null.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from astro_jax.data.clean import (
    NO_BAND,
    NO_ERROR,
    NO_FLUX,
    SENTINEL_MAG,
    account,
    flag_first,
    order_epochs,
    recount,
    time_rules,
)
from astro_jax.data.ledger import Quarantined
from astro_jax.data.transients import ZERO_POINT, Transients
from astro_jax.errors import UserError
from astro_jax.passbands import MISSING

MAGNITUDES = (8.0, 27.5)  # of anything that surveys measure


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
            bad = ~(np.isfinite(values) & (values >= 0))
        if bad.sum() > given.null_count:
            notes.append(f"{bad.sum() - given.null_count:,} values of {name} below 0: set to null")
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
    there is no magnitude (-9, and 90 or more of either sign) are passed over, unless most are.
    """
    good = np.isfinite(flux) & np.isfinite(fluxerr)
    with np.errstate(invalid="ignore"):
        told = good & (np.abs(flux) < SENTINEL_MAG) & (flux != -9)
    if told.sum() < 3 or 2 * told.sum() < good.sum():
        return
    good = told
    flux, fluxerr = flux[good], fluxerr[good]
    low, high = np.quantile(flux, [0.02, 0.98])
    if flux.min() > 0 and low > MAGNITUDES[0] and high < MAGNITUDES[1] and np.median(fluxerr) < 0.4:
        raise UserError(
            f"{where}: values from {flux.min():.4g} to {flux.max():.4g} with errors near "
            f"{np.median(fluxerr):.2g} look like magnitudes, not fluxes: name the columns mag and "
            "magerr, or give zero_point (AB magnitude of flux 1) if they are fluxes"
        )
