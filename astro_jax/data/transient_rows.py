"""Rows for the network: what it is told of each observation of a transient.

A row is wavelength (micrometre), time, flux, error. Time is (t - trigger + 30) / 100 over the
window of -30 to 70 days around the trigger, as in AstroMCAD; flux and error are scaled by `SCALES`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from astro_jax import passbands
from astro_jax.data.curves import Ragged
from astro_jax.data.ledger import Ledger, opening
from astro_jax.data.transients import (
    TRIGGER_SNR,
    Transients,
    keep_observations,
    quarantine_untriggered,
    reduce_curves,
    trigger_times,
)
from astro_jax.errors import UserError, suggest

WINDOW = (-30.0, 70.0)  # days around the trigger (AstroMCAD)
UNIT = 500.0  # FLUXCAL (AstroMCAD)
LENGTH = 256  # rows; longer curves lose those of the lowest |S/N|
METADATA = ("redshift", "mwebv")


@dataclass(frozen=True)
class Rows(Ragged):
    """N transients as rows; those of transient k are the slice `offsets[k]:offsets[k + 1]`.

    values: [M, 4] float32; since: [M] float32, days since the trigger, observer's frame
    offsets: [N + 1] int64; columns: Arrow table of N rows, as in `Transients`, with `trigger` (MJD)
    arrays: {name: [N, ...]}: label [N] int32, place among the classes, -1 = none of them; metadata
        [N, F] float32, 0 where unknown; known [N, F] bool
    """

    values: np.ndarray
    since: np.ndarray
    offsets: np.ndarray
    columns: pa.Table
    arrays: Mapping[str, np.ndarray]


def make_rows(
    transients: Transients,
    ledger: Ledger | None = None,
    classes: Sequence[str] = (),
    metadata: Sequence[str] = METADATA,
    length: int = LENGTH,
    scale: str = "const500",
    dilate: str = "none",
    wavelengths: str = "effective",
    required: bool = True,
) -> tuple[Rows, Ledger]:
    """Return the rows of transients, in time order, and the account of what was left out.

    classes: names of the labels, in the order of the network's outputs
    metadata: columns of numbers that the network is told beside the rows; a null is unknown
    length: most rows of a transient
    scale: a name of SCALES; dilate: "none", or "redshift": divide times by 1 + z where z is known
    wavelengths: a system of `passbands.wavelengths`
    Left out are, as filtered, observations in bands that the system does not know, outside the
    window, and those of the lowest |S/N| beyond `length`; as quarantined, objects without trigger.
    Raises UserError for an unknown choice, or where nothing is left, if something is `required`.
    """
    stretch = _choice("dilate", dilate, DILATIONS)
    scaled = _choice("scale", scale, SCALES)
    told = passbands.wavelengths(wavelengths)
    ledger = opening(len(transients), len(transients.time)) if ledger is None else ledger
    reason = f"band that the network does not know (wavelengths={wavelengths})"
    known = np.isfinite(told[transients.band])
    transients, ledger = keep_observations(transients, ledger, known, reason, required=required)
    transients, ledger = cut_window(transients, ledger, length, required)
    curve = transients.curve
    since = transients.time - transients.scalar("trigger")[curve]
    flux, fluxerr = scaled(transients)
    time = (since / stretch(transients)[curve] - WINDOW[0]) / (WINDOW[1] - WINDOW[0])
    values = np.stack([told[transients.band], time, flux, fluxerr], axis=1)
    numbers = [transients.scalar(name) for name in metadata]
    numbers = np.stack(numbers, axis=1) if numbers else np.zeros((len(transients), 0))
    rows = Rows(
        values.astype(np.float32),
        since.astype(np.float32),
        transients.offsets,
        transients.columns,
        {
            "label": label_places(transients.label, classes),
            "metadata": np.nan_to_num(numbers, nan=0.0).astype(np.float32),
            "known": np.isfinite(numbers),
        },
    )
    return rows, ledger


def _choice(name: str, choice: str, known: dict[str, Callable]) -> Callable:
    """Return a function by its name, or raise UserError."""
    if choice not in known:
        raise UserError(f"{name}={choice!r} is unknown{suggest(choice, known)}")
    return known[choice]


def cut_window(
    transients: Transients, ledger: Ledger, length: int, required: bool = True
) -> tuple[Transients, Ledger]:
    """Keep at most `length` observations inside the window; fill in the column `trigger`.

    Raises UserError where nothing is left, if something is `required`.
    """
    trigger = trigger_times(transients)
    transients, ledger, trigger = quarantine_untriggered(transients, ledger, trigger, required)
    columns = transients.columns
    if "trigger" in columns.column_names:
        columns = columns.drop_columns(["trigger"])
    transients = transients.with_columns(columns.append_column("trigger", pa.array(trigger)))
    since = transients.time - trigger[transients.curve]
    inside = (since > WINDOW[0]) & (since < WINDOW[1])
    reason = f"outside {WINDOW[0]:g} .. {WINDOW[1]:g} days of the trigger"
    transients, ledger = keep_observations(transients, ledger, inside, reason, required=required)
    reason = f"more than {length} observations: the lowest |S/N|"
    return keep_observations(transients, ledger, loudest(transients, length), reason)


def loudest(transients: Transients, length: int) -> np.ndarray:
    """Return which observations are among the `length` largest |S/N| of their curve, [M] bool."""
    keep = np.ones(len(transients.time), bool)
    if transients.lengths.max(initial=0) <= length:
        return keep
    curve = transients.curve
    order = np.lexsort([-np.abs(transients.snr), curve])
    rank = np.arange(len(order)) - transients.offsets[curve]  # curves stay where they are
    keep[order[rank >= length]] = False
    return keep


def label_places(label: Sequence[str | None], classes: Sequence[str]) -> np.ndarray:
    """Return the place of each label among the classes, [N] int32; -1 where it is none of them."""
    place = {name: k for k, name in enumerate(classes)}
    return np.array([place.get(name, -1) for name in label], np.int32).reshape(-1)


def _const500(transients: Transients) -> tuple[np.ndarray, np.ndarray]:
    """Flux / 500, as in AstroMCAD."""
    return transients.flux / UNIT, transients.fluxerr / UNIT


def _asinh(transients: Transients) -> tuple[np.ndarray, np.ndarray]:
    """asinh(flux / 500): linear for what is faint, so that nearby supernovae saturate nothing."""
    flux = transients.flux / UNIT
    return np.arcsinh(flux), transients.fluxerr / UNIT / np.sqrt(1 + flux**2)


def _peak(transients: Transients) -> tuple[np.ndarray, np.ndarray]:
    """Flux over the brightest detection of the curve: knows the future, not for real time."""
    detected = np.where(transients.snr >= TRIGGER_SNR, transients.flux, -np.inf)
    peak = reduce_curves(np.maximum, detected, transients.offsets, -np.inf)
    largest = reduce_curves(np.maximum, np.abs(transients.flux), transients.offsets, 1.0)
    peak = np.where(peak > 0, peak, largest)[transients.curve]
    return transients.flux / peak, transients.fluxerr / peak


SCALES = {"const500": _const500, "asinh": _asinh, "peak": _peak}
DILATIONS = {
    "none": lambda transients: np.ones(len(transients)),
    "redshift": lambda transients: 1 + np.nan_to_num(transients.scalar("redshift"), nan=0.0),
}
