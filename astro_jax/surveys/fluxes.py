"""Fluxes of many objects and bands, in any order, as transients; their zero point and bands."""

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astro_jax.data.clean import OK, SENTINEL, SENTINEL_MAG, FileError
from astro_jax.data.transient_rules import (
    RawTransients,
    flag_magnitudes,
    magnitudes_to_fluxcal,
    refuse_magnitudes,
    to_fluxcal,
)
from astro_jax.data.transients import ZERO_POINT, reduce_curves
from astro_jax.passbands import MISSING, resolve
from astro_jax.surveys.generic import as_text, scalars
from astro_jax.surveys.group import codes, narrow, runs
from astro_jax.surveys.origin import candidates, to_mjd
from astro_jax.surveys.roles import TRANSIENT, describe, find_roles
from astro_jax.surveys.source import Format, Source, split_lines
from astro_jax.surveys.values import first_flag, ids, numbers, plain, typed_ids

Numbers = tuple[np.ndarray, np.ndarray]  # values [M] float64, flags [M] uint8
TRIGGER_BIT = 2048  # of SNANA's PHOTFLAG, set where the trigger is satisfied; 4096 is a detection
NUMBERS = ("redshift", "mwebv", "trigger")


def group_fluxes(
    id: pa.Array,
    time: np.ndarray,
    band: np.ndarray,
    brightness: tuple[np.ndarray, np.ndarray, np.ndarray],
    scalars: Mapping[str, pa.Array] | None = None,
    notes: tuple[str, ...] = (),
    photflag: np.ndarray | None = None,
) -> RawTransients:
    """Return one curve for each id, in order of first appearance.

    brightness: FLUXCAL, its error, flag; these and id, time, band: [M]; scalars: [M], of which a
        curve takes its first value; photflag: [M], SNANA's bit masks, for the survey's own trigger
    """
    sort, starts = runs(codes(id))
    first = pa.array(sort[starts])
    flux, fluxerr, flag = brightness
    raw = RawTransients(
        time[sort].astype(np.float64),
        band[sort].astype(np.uint8),
        narrow(flux[sort]),
        narrow(fluxerr[sort]),
        np.append(starts, len(sort)).astype(np.int64),
        pa.table({n: c.take(first) for n, c in {"id": id, **(scalars or {})}.items()}),
        flag[sort].astype(np.uint8),
        notes=notes,
    )
    return raw if photflag is None else with_trigger(raw, photflag[sort])


def with_trigger(raw: RawTransients, photflag: np.ndarray) -> RawTransients:
    """Add the survey's own trigger: the first time with the trigger bit of PHOTFLAG, [M]."""
    bits = np.nan_to_num(photflag, nan=0.0).astype(np.int64)
    set_at = np.where(bits & TRIGGER_BIT > 0, raw.time, np.inf)
    first = reduce_curves(np.minimum, set_at, raw.offsets, np.inf)
    if "trigger" in raw.columns.column_names or not np.isfinite(first).any():
        return raw
    column = pa.array(first, mask=~np.isfinite(first))
    return raw.with_columns(raw.columns.append_column("trigger", column))


def survey_column(table: pa.Table, survey: str | None = None) -> pa.Array | str | None:
    """Return the column `survey` of a table, [N] text, `survey` where it is null or not there."""
    name = next((n for n in table.column_names if n.lower() == "survey"), None)
    if name is None or pa.types.is_nested(table[name].type):
        return survey
    column = as_text(table[name])
    return column if survey is None else column.fill_null(survey)


def band_codes(
    column: pa.Array, source: Source, name: str, survey: pa.Array | str | None = None
) -> np.ndarray:
    """Return the passbands of a column of names, [M] uint8; MISSING where a cell is empty.

    survey: whose names they are, one for all or [M] text, unless the user said it
    Raises UserError for an unknown band, unless the user named the bands to keep.
    """
    if isinstance(survey, pa.Array) and not source.survey:
        surveys = survey.dictionary_encode(null_encoding="encode")
        place = surveys.indices.to_numpy(zero_copy_only=False)
        codes = np.zeros(len(column), np.uint8)
        for k, one in enumerate(surveys.dictionary.to_pylist()):
            rows = np.flatnonzero(place == k)
            codes[rows] = band_codes(column.take(pa.array(rows)), source, name, one)
        return codes
    coded = as_text(column).dictionary_encode()
    where = f"{source.path}, column {name}"
    names = coded.dictionary.to_pylist()
    said = source.survey or survey
    known = resolve(names, said, where, strict=not source.bands)
    place = coded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
    return np.append(known, np.uint8(MISSING))[place]


def read_brightness(
    read: Callable[[str], Numbers], roles: Mapping[str, str], source: Source
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Return FLUXCAL, its error, flag, [M] each, and a remark on where they come from.

    read: role -> numbers and flags of its column; roles: role -> column
    Fluxes are preferred; AB magnitudes are turned into fluxes. The zero point of fluxes is that of
    the user, else of a column, else 27.5.
    Raises FileError where neither is there with its error, UserError where fluxes look like
    magnitudes.
    """
    if {"flux", "fluxerr"} <= roles.keys():
        (flux, flag), (fluxerr, _) = read("flux"), read("fluxerr")
        zero, said = zero_point(read, roles, source)
        if not said:
            refuse_magnitudes(flux, fluxerr, f"{source.path}, column {roles['flux']}")
        shown = f"{zero:g}" if np.ndim(zero) == 0 else f"of column {roles['zero_point']}"
        note = f"fluxes with zero point {shown}" + ("" if said else " (taken for FLUXCAL)")
        return *to_fluxcal(flux, fluxerr, zero), flag, note
    if {"mag", "magerr"} <= roles.keys():
        (mag, flag), (magerr, _) = read("mag"), read("magerr")
        with np.errstate(invalid="ignore"):
            flag = np.where((flag == OK) & (np.abs(mag) >= SENTINEL_MAG), SENTINEL, flag)
        return *magnitudes_to_fluxcal(mag, magerr), flag, "AB magnitudes turned into fluxes"
    half = next((r for r in ("flux", "mag") if r in roles), None)
    what = f"a column {roles[half]} but none of its errors" if half else "no fluxes or magnitudes"
    raise FileError(f"not a transient: {what}; name them with columns.flux and columns.fluxerr")


def is_assumed(roles: Mapping[str, str], source: Source) -> bool:
    """Tell whether `read_brightness` finds fluxes of which nobody states the zero point."""
    stated = source.zero_point is not None or "zero_point" in roles
    return {"flux", "fluxerr"} <= roles.keys() and not stated


def zero_point(
    read: Callable[[str], Numbers], roles: Mapping[str, str], source: Source
) -> tuple[float | np.ndarray, bool]:
    """Return the AB magnitude of flux 1, one or [M], and whether anyone stated it."""
    if source.zero_point is not None:
        return source.zero_point, True
    if "zero_point" in roles:
        return read("zero_point")[0], True
    return ZERO_POINT, False


def long_table(
    table: pa.Table, source: Source, broken: np.ndarray, survey: str | None = None
) -> RawTransients:
    """Return the transients of a table with one observation a row.

    broken: [M] bool, lines of the wrong width
    survey: whose band names they are where the format says it; a column `survey` says it better
    """
    roles = find_roles(table.column_names, source.columns, source.path, ("time", "band"), TRANSIENT)

    def read(role: str) -> Numbers:
        return numbers(table[roles[role]])

    time, bad_time = read("time")
    where = f"{source.path}, column {roles['time']}"
    time, origin = to_mjd(time, where, candidates(roles["time"]), source.time_format)
    flux, fluxerr, flag, note = read_brightness(read, roles, source)
    flag = first_flag(broken, bad_time, flag)
    id = pa.array([source.stem] * len(time))
    if "id" in roles:
        id = (typed_ids if source.data is None else ids)(table[roles["id"]])
    names, surveys = as_text(table[roles["band"]]), survey_column(table, survey)
    names = pc.if_else(pa.array(broken), None, names)  # what stands there may be another column's
    band = band_codes(names, source, roles["band"], surveys)
    photflag = read("photflag")[0] if "photflag" in roles else None
    notes = (describe(roles, origin), note)
    brightness = flux, fluxerr, flag
    found = object_scalars(table, roles)
    raw = group_fluxes(id, time, band, brightness, found, notes, photflag)
    return flag_magnitudes(raw) if is_assumed(roles, source) else raw


def object_scalars(table: pa.Table, roles: Mapping[str, str]) -> dict[str, pa.Array]:
    """Return the columns that describe an object, [M] each."""
    found = scalars(table, roles)
    for role in NUMBERS:
        if role in roles:
            found[role] = pa.array(numbers(table[roles[role]])[0], from_pandas=True)
    return found


def sniff(source: Source) -> bool:
    """Tell any text."""
    return source.data is not None


def read(source: Source) -> RawTransients:
    """Read a text table with a header, one observation a row."""
    lines = split_lines(source.data)
    if not lines.header:
        raise FileError("no header: the columns of a table of transients need names")
    return long_table(pa.table(lines.table.columns, names=list(lines.names)), source, lines.broken)


def empty(note: str) -> RawTransients:
    """Return no transients, for a file that belongs to others."""
    none = np.zeros(0)
    return RawTransients(
        none,
        none.astype(np.uint8),
        narrow(none),
        narrow(none),
        np.zeros(1, np.int64),
        pa.table({"id": pa.array([], pa.string())}),
        none.astype(np.uint8),
        notes=(note,),
    )


def beside(columns: Mapping[str, pa.Array], id: pa.Array) -> dict[str, pa.Array]:
    """Return the columns of a table near the file, taken at the rows of `id`, [M] each.

    columns: `id` and others; an object that the table lacks is null
    """
    place = pc.index_in(plain(id).cast(pa.string()), plain(columns["id"]).cast(pa.string()))
    return {name: c.take(place) for name, c in columns.items() if name != "id"}


FORMATS = (Format("csv", sniff, read),)
