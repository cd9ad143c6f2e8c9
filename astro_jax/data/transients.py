"""Transients: fluxes in several passbands, one curve an object; trigger and selections.

Flux is FLUXCAL: AB magnitude 27.5 - 2.5 log10(flux), whatever the zero point of the file was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from astro_jax.data.clean import NO_TRIGGER, REASONS, label_rows
from astro_jax.data.curves import Ragged
from astro_jax.data.labels import as_label
from astro_jax.data.ledger import Ledger
from astro_jax.errors import UserError
from astro_jax.passbands import NAMES, resolve

ZERO_POINT = (
    27.5  # AB magnitude of flux 1: SNANA's FLUXCAL, the unit of ZTFSims, PLAsTiCC, ELAsTiCC
)
TRIGGER_SNR = 5.0
BEFORE_MAXIMUM = 60.0  # days


@dataclass(frozen=True)
class Transients(Ragged):
    """N transients; the observations of transient k are the slice `offsets[k]:offsets[k + 1]`.

    time: [M] float64, MJD days, observer's frame, increasing inside a curve, equal times where
        bands differ; band: [M] uint8, place in `passbands.PASSBANDS`
    flux, fluxerr: [M] float32, FLUXCAL (zero point 27.5, AB), negative too; 1 sigma, positive
    offsets: [N + 1] int64
    columns: Arrow table of N rows: `id` (int64 or string) always; where they are known `label`,
        `redshift` (heliocentric, above 0) and `mwebv` (Milky Way E(B-V), mag, not applied to the
        fluxes), null where missing; `trigger` (MJD, null: by the rule of `trigger_times`);
        `star` (what a split keeps together); `survey` and others
    """

    time: np.ndarray
    band: np.ndarray
    flux: np.ndarray
    fluxerr: np.ndarray
    offsets: np.ndarray
    columns: pa.Table

    @property
    def snr(self) -> np.ndarray:
        """Flux over its error, [M] float32."""
        return self.flux / self.fluxerr

    @property
    def curve(self) -> np.ndarray:
        """The curve of each observation, [M] int64."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def scalar(self, name: str) -> np.ndarray:
        """Return a column of numbers, [N] float64, NaN where it is null or the column is absent."""
        if name not in self.columns.column_names:
            return np.full(len(self), np.nan)
        column = self.columns[name].cast(pa.float64()).fill_null(np.nan)
        return column.to_numpy(zero_copy_only=False)

    @property
    def label(self) -> list[str | None]:
        """The label of each object, [N]; None where there is none or the text is empty."""
        if "label" not in self.columns.column_names:
            return [None] * len(self)
        return [as_label(value) for value in self.columns["label"].to_pylist()]


def from_arrays(
    curves: Sequence[Sequence], ids: Sequence | None = None, **columns: Sequence
) -> Transients:
    """Build transients from (time, band, flux, fluxerr) each: MJD, names of bands, FLUXCAL.

    The arrays are taken as they are: sorting and cleaning is the readers' work.
    Raises ValueError where the four are not of one length, UserError for an unknown band.
    """
    for k, curve in enumerate(curves):
        if len({len(part) for part in curve}) != 1 or len(curve) != 4:
            raise ValueError(f"curve {k}: give time, band, flux, fluxerr of one length")
    time, band, flux, fluxerr = (
        [value for curve in curves for value in curve[part]] for part in range(4)
    )
    lengths = [len(curve[0]) for curve in curves]
    return Transients(
        np.asarray(time, np.float64),
        resolve(band),
        np.asarray(flux, np.float32),
        np.asarray(fluxerr, np.float32),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        pa.table({"id": pa.array(range(len(curves)) if ids is None else ids), **columns}),
    )


def reduce_curves(
    function: np.ufunc, values: np.ndarray, offsets: np.ndarray, empty: float
) -> np.ndarray:
    """Return `function` over the values [M] of each curve, [N]; `empty` for an empty one."""
    result = np.full(len(offsets) - 1, empty, values.dtype)
    filled = np.diff(offsets) > 0
    if filled.any():
        result[filled] = function.reduceat(values[: offsets[-1]], offsets[:-1][filled])
    return result


def trigger_times(
    transients: Transients, snr: float = TRIGGER_SNR, before: float = BEFORE_MAXIMUM
) -> np.ndarray:
    """Return the trigger of each object, [N] float64 MJD, NaN where there is none.

    It is the value in the column `trigger`; else the first detection (S/N >= `snr`) less than
    `before` days before the maximum, the brightest detection of any band. What lies earlier, an
    artefact or an older outburst, starts nothing.
    """
    offsets, time = transients.offsets, transients.time
    detected = transients.snr >= snr
    peak = reduce_curves(np.maximum, np.where(detected, transients.flux, -np.inf), offsets, -np.inf)
    brightest = detected & (transients.flux == peak[transients.curve])
    maximum = reduce_curves(np.minimum, np.where(brightest, time, np.inf), offsets, np.inf)
    near = detected & (time > maximum[transients.curve] - before)
    first = reduce_curves(np.minimum, np.where(near, time, np.inf), offsets, np.inf)
    given = transients.scalar("trigger")
    return np.where(np.isfinite(given), given, np.where(np.isfinite(first), first, np.nan))


def keep_observations(
    transients: Transients,
    ledger: Ledger,
    keep: np.ndarray,
    reason: str,
    every_row: bool = False,
    required: bool = True,
) -> tuple[Transients, Ledger]:
    """Leave out observations by a choice of the user, and objects of which nothing is left.

    keep: [M] bool. Both count as filtered. every_row: such objects stay, as empty curves.
    Raises UserError where nothing is left at all, if something is `required`.
    """
    if keep.all():
        return transients, ledger
    if required and not keep.any():
        raise UserError(f"none of {len(keep)} observations is left: {reason}")
    lengths = np.bincount(transients.curve[keep], minlength=len(transients))
    alive = (lengths > 0) | every_row
    flat = {name: values[keep] for name, values in transients.flat.items()}
    offsets = np.concatenate([[0], np.cumsum(lengths[alive])]).astype(np.int64)
    columns = transients.columns.filter(pa.array(alive))
    ledger = ledger.filter(int(np.sum(~alive)), int(np.sum(~keep)), reason)
    return replace(transients, **flat, offsets=offsets, columns=columns), ledger


def keep_bands(
    transients: Transients, ledger: Ledger, bands: Sequence[str]
) -> tuple[Transients, Ledger]:
    """Leave out all bands but `bands`, names of the table of passbands; none given: all stay."""
    if not bands:
        return transients, ledger
    keep = np.isin(transients.band, resolve(bands, where="bands"))
    return keep_observations(transients, ledger, keep, f"band is not {', '.join(bands)}")


def cut_snr(
    transients: Transients, ledger: Ledger, snr: float, every_row: bool = False
) -> tuple[Transients, Ledger]:
    """Leave out what alert photometry does not have: points of S/N <= `snr`, negative ones too.

    snr: 0 keeps forced photometry as it is, non-detections and negative fluxes included.
    """
    if snr <= 0:
        return transients, ledger
    keep, reason = transients.snr > snr, f"S/N not above {snr:g}"
    return keep_observations(transients, ledger, keep, reason, every_row)


def quarantine_untriggered(
    transients: Transients, ledger: Ledger, trigger: np.ndarray, required: bool = True
) -> tuple[Transients, Ledger, np.ndarray]:
    """Take out objects without a trigger, [N] float64, NaN = none, and name them in the ledger.

    Raises UserError where none has one, if one is `required`.
    """
    lost = np.flatnonzero(np.isnan(trigger))
    if not len(lost):
        return transients, ledger, trigger
    if required and len(lost) == len(trigger):
        raise UserError(
            f"none of {len(trigger)} objects has a point of S/N {TRIGGER_SNR:g} or more: are the "
            "fluxes those of the transient? A column `trigger` (MJD) sets the trigger by hand"
        )
    lengths = transients.lengths
    rows = [(int(k), 1, int(lengths[k]), REASONS[NO_TRIGGER]) for k in lost]
    ledger = ledger.quarantine(label_rows(rows, transients.columns, None))
    alive = ~np.isnan(trigger)
    return transients.take(alive), ledger, trigger[alive]


def band_names(transients: Transients) -> np.ndarray:
    """Return the name of the band of each observation, [M] text."""
    return np.array(NAMES)[transients.band]
