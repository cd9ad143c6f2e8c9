"""The rules by which an observation of a file becomes one of a curve, or is quarantined.

In this order, each observation taking the first that holds:
  1. what the reader of the format found: a line of the wrong width, text where a number belongs,
     an upper limit (`>16.4`), a bad quality flag, a flux that is not positive, lists that do not
     pair up, no id;
  2. a time that is missing, not finite, or more than 200,000 days from MJD 0;
  3. a magnitude that is missing or not finite;
  4. a magnitude of 90 or more either side of 0: -99, 99.999 and their like mean "not measured";
  5. a time that the curve already has: the first usable one in file order stays.
These go to the quarantine as observations; the object stays while one observation does.
An error that is missing, not finite, zero, negative, or at least 9 mag (9.999 means "unknown") is
NaN and its observation stays: the brightness was measured, its weight is what nobody knows.
Epochs out of order are sorted. Nothing is clipped: outliers may be eclipses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from astro_jax.data.curves import Curves, Ragged
from astro_jax.data.ledger import Quarantined

SENTINEL_MAG = 90.0
UNKNOWN_ERROR = 9.0
TIME_LIMIT = 200_000.0

OK, WIDTH, TEXT, LIMIT, QUALITY, FLUX, UNEQUAL, NO_ID, TIME, RANGE, MAG, SENTINEL, REPEAT = range(
    13
)
NO_FLUX, NO_ERROR, NO_TRIGGER, NO_BAND, MAGNITUDES = range(13, 18)  # see `data.transient_rules`
REASONS = (
    "",
    "line with the wrong number of values",
    "text where a number belongs",
    "upper limit, not a detection",
    "flagged as bad by the survey",
    "flux not positive",
    "time, magnitude and error lists of different length",
    "no id",
    "time missing or not finite",
    "time far outside any survey",
    "magnitude missing or not finite",
    "sentinel magnitude",
    "repeated epoch",
    "flux missing or not finite",
    "flux error missing or not positive",
    "no trigger: no point of S/N 5 or more",
    "band missing",
    "fluxes that look like magnitudes: name them columns.mag and magerr, or give zero_point",
)


class FileError(Exception):
    """A file that cannot be read as light curves; the text is the reason in the quarantine."""


@dataclass(frozen=True)
class Raw(Ragged):
    """N curves as a file gives them, before cleaning; curve k is offsets[k]:offsets[k + 1].

    time: [M] float64, MJD days; mag, magerr: [M] float32; flag: [M] uint8, index into REASONS
    columns: table of N rows with `id` and other scalar columns
    lost: objects that could not be read, `file` left empty; notes: remarks for the summary
    """

    time: np.ndarray
    mag: np.ndarray
    magerr: np.ndarray
    flag: np.ndarray
    offsets: np.ndarray
    columns: pa.Table
    lost: tuple[Quarantined, ...] = ()
    notes: tuple[str, ...] = ()


def flag_values(raw: Raw) -> np.ndarray:
    """Return the flag of each observation by rules 1 to 4, [M] uint8."""
    return flag_first(raw.flag, *time_rules(raw.time), *mag_rules(raw.mag))


def time_rules(time: np.ndarray) -> tuple[tuple[int, np.ndarray], ...]:
    """Return rule 2 as pairs of a code and where it holds, [M] bool."""
    with np.errstate(invalid="ignore"):
        return (TIME, ~np.isfinite(time)), (RANGE, np.abs(time) > TIME_LIMIT)


def mag_rules(mag: np.ndarray) -> tuple[tuple[int, np.ndarray], ...]:
    """Return rules 3 and 4 as pairs of a code and where they hold, [M] bool."""
    with np.errstate(invalid="ignore"):
        return (MAG, ~np.isfinite(mag)), (SENTINEL, np.abs(mag) >= SENTINEL_MAG)


def flag_first(flag: np.ndarray, *rules: tuple[int, np.ndarray]) -> np.ndarray:
    """Return the flags with, where none was set, the code of the first rule that holds."""
    flag = flag.copy()
    for code, bad in rules:
        flag[bad & (flag == OK)] = code
    return flag


def order_epochs(
    time: np.ndarray, curve: np.ndarray, flag: np.ndarray, band: np.ndarray | None = None
) -> np.ndarray:
    """Return the usable observations by curve and time, and flag repeated epochs in place.

    band: [M], where a curve has several: epochs repeat where time and band do; else sorted by it
    """
    use = np.flatnonzero(flag == OK)
    same = curve[use][1:] == curve[use][:-1]
    if np.all((np.diff(time[use]) > 0) | ~same):
        return use
    # lexsort is stable: of equal epochs the first in file order stays first
    keys = (time, curve) if band is None else (band, time, curve)
    use = use[np.lexsort([key[use] for key in keys])]
    repeat = np.all([key[use][1:] == key[use][:-1] for key in keys], axis=0)
    flag[use[1:][repeat]] = REPEAT
    return use[np.concatenate([[True], ~repeat])]


def known_errors(magerr: np.ndarray) -> np.ndarray:
    """Return the errors with NaN for those that say nothing, [M] float32."""
    with np.errstate(invalid="ignore"):
        known = (magerr > 0) & (magerr < UNKNOWN_ERROR)
    return np.where(known, magerr, np.float32(np.nan)).astype(np.float32)


def clean(
    raw: Raw, files: Sequence[str] | None = None, every_row: bool = False
) -> tuple[Curves, list[Quarantined], list[str]]:
    """Apply the rules of this module; return curves, what they took out, and remarks.

    files: the file of each curve, [N], for the quarantine; every_row: keep empty curves
    """
    curve = np.repeat(np.arange(len(raw)), np.diff(raw.offsets))
    flag = flag_values(raw)
    use = order_epochs(raw.time, curve, flag)
    lengths = np.bincount(curve[use], minlength=len(raw))
    alive = (lengths > 0) | every_row
    magerr = known_errors(raw.magerr[use])
    unknown = int(np.sum(np.isnan(magerr) & ~np.isnan(raw.magerr[use])))
    notes = [f"{unknown:,} errors that are not positive or a sentinel: set to unknown"]
    curves = Curves(
        raw.time[use],
        raw.mag[use],
        magerr,
        np.concatenate([[0], np.cumsum(lengths[alive])]).astype(np.int64),
        recount(raw.columns.filter(pa.array(alive)), lengths[alive]),
    )
    return curves, account(raw, curve, flag, alive, files), notes if unknown else []


def recount(columns: pa.Table, lengths: np.ndarray) -> pa.Table:
    """Return the columns with `n_obs`, where there is one, set to the lengths after cleaning."""
    if "n_obs" not in columns.column_names:
        return columns
    place = columns.column_names.index("n_obs")
    return columns.set_column(place, "n_obs", pa.array(lengths.astype(np.int32)))


def account(raw: Raw, curve, flag, alive, files) -> list[Quarantined]:
    """Return one row for each object and reason; one row for each object lost whole."""
    bad = np.flatnonzero(flag)
    pairs, counts = np.unique(curve[bad] * len(REASONS) + flag[bad], return_counts=True)
    where, code = np.divmod(pairs, len(REASONS))
    main = dict.fromkeys(np.flatnonzero(~alive).tolist(), "empty curve")
    for k in np.argsort(counts, kind="stable"):
        if int(where[k]) in main:
            main[int(where[k])] = f"nothing usable: {REASONS[code[k]]}"
    lengths = np.diff(raw.offsets)
    rows = [(k, 1, int(lengths[k]), reason) for k, reason in main.items()]
    partial = alive[where] if len(where) else np.zeros(0, bool)
    rows += [
        (k, 0, n, REASONS[c])
        for k, n, c in zip(
            where[partial].tolist(), counts[partial].tolist(), code[partial].tolist(), strict=True
        )
    ]
    return label_rows(sorted(rows), raw.columns, files)


def label_rows(rows: Sequence[tuple], columns: pa.Table, files) -> list[Quarantined]:
    """Return quarantine rows from (curve, objects, observations, reason)."""
    index = pa.array([r[0] for r in rows], pa.int64())
    ids = columns["id"].take(index).to_pylist()
    bands = [None] * len(rows)
    if "band" in columns.column_names:
        bands = columns["band"].take(index).to_pylist()
    return [
        Quarantined(
            "" if files is None else files[k],
            "" if name is None else str(name),
            "" if band is None else str(band),
            objects,
            n,
            reason,
        )
        for (k, objects, n, reason), name, band in zip(rows, ids, bands, strict=True)
    ]
