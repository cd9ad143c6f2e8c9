"""Object tables of transients in Parquet: a row an object; lists of times, bands, fluxes, errors.

As `data.table`, with fluxes: list columns, list<struct> and struct<list> are read, and tables with
one observation a row. `object_id` is `id`, `sky_group` is `star`; other scalar columns are carried
along. Times are MJD in a column `time`; fluxes are FLUXCAL unless a zero point is given.
"""

import numpy as np
import pyarrow as pa

from astro_jax.data.clean import FileError
from astro_jax.data.table import (
    VERSION,
    as_mjd,
    is_list,
    list_lengths,
    open_parquet,
    scalar_columns,
    short_list,
    spread,
    spread_text,
    unequal,
    unnest,
    write_parquet,
)
from astro_jax.data.transient_rules import RawTransients, flag_magnitudes
from astro_jax.data.transients import ZERO_POINT, Transients, band_names
from astro_jax.surveys.fluxes import (
    NUMBERS,
    band_codes,
    is_assumed,
    long_table,
    read_brightness,
    survey_column,
)
from astro_jax.surveys.group import narrow
from astro_jax.surveys.roles import TRANSIENT, describe, find_roles
from astro_jax.surveys.source import Format, Source
from astro_jax.surveys.values import first_flag, numbers

METADATA = {
    "astro_jax.object_table": VERSION,
    "time": "list<double>, days, MJD, observer frame",
    "band": "list<string>, names of astro_jax.passbands",
    "flux": f"list<float>, FLUXCAL: AB magnitude {ZERO_POINT} - 2.5 log10(flux)",
    "fluxerr": "list<float>, 1 sigma of flux",
    "redshift": "heliocentric; null where unknown",
    "mwebv": "Milky Way E(B-V), mag, not applied to the fluxes",
}
LISTS = ("time", "band", "flux", "fluxerr", "mag", "magerr")
RENAMED = ("id", "star", "label", *NUMBERS)


def sniff(source: Source) -> bool:
    """Tell a file that was not opened as bytes: the magic PAR1."""
    return source.data is None


def read(source: Source) -> RawTransients:
    """Read a Parquet file: an object table, nested, or one observation a row."""
    return read_table(open_parquet(source.path), source)


def read_table(table: pa.Table, source: Source) -> RawTransients:
    """Return the transients of an Arrow table of any of the layouts."""
    if not table.num_rows:
        raise FileError("no rows")
    table = unnest(table)
    if not any(is_list(f.type) for f in table.schema):
        return long_table(table, source, np.zeros(table.num_rows, bool))
    return object_table(table, source)


def object_table(table: pa.Table, source: Source) -> RawTransients:
    """Return the transients of a table with list columns."""
    lists = [f.name for f in table.schema if is_list(f.type)]
    roles = find_roles(
        table.column_names, source.columns, source.path, ("id", "time", "band"), TRANSIENT
    )
    if pa.types.is_nested(table[roles["id"]].type):
        raise FileError(f"the id column holds {table[roles['id']].type}")
    columns = {r: table[roles[r]].combine_chunks() for r in LISTS if roles.get(r) in lists}
    wrong = [roles[r] for r in ("time", "band") if r not in columns]
    if wrong:
        raise FileError(f"column '{wrong[0]}' holds no lists, but {', '.join(lists)} do")
    lengths = list_lengths(columns["time"])
    equal = np.all([list_lengths(c) == lengths for c in columns.values()], axis=0)

    def read(role: str) -> tuple[np.ndarray, np.ndarray]:
        column = table[roles[role]].combine_chunks()
        if is_list(column.type):
            return spread(column, lengths, equal)
        return tuple(np.repeat(part, lengths) for part in numbers(column))

    stated = {r: c for r, c in roles.items() if c in lists or r not in LISTS}
    time, bad_time = read("time")
    time, origin = as_mjd(time, roles, source)
    flux, fluxerr, flag, note = read_brightness(read, stated, source)
    band = spread_text(columns["band"], lengths, equal)
    # a row whose lists do not pair up has no band: any known one stands in until it is quarantined
    told = np.flatnonzero(np.repeat(equal, lengths))
    surveys = survey_column(table)
    if surveys is not None:
        surveys = surveys.take(pa.array(np.repeat(np.arange(len(lengths)), lengths)[told]))
    code = np.zeros(len(time), np.uint8)
    code[told] = band_codes(band.take(pa.array(told)), source, roles["band"], surveys)
    raw = RawTransients(
        time,
        code,
        narrow(flux),
        narrow(fluxerr),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        pa.table(_scalars(table, roles, lists)),
        first_flag(np.zeros(1, bool), unequal(equal, lengths), bad_time, flag),
        notes=(note, *((describe(roles, origin),) if source.columns else ())),
    )
    return flag_magnitudes(raw) if is_assumed(stated, source) else raw


def _scalars(table: pa.Table, roles: dict[str, str], lists: list[str]) -> dict[str, pa.Array]:
    """Return the scalar columns, numbers of known roles as float64."""
    found = scalar_columns(table, roles, lists, RENAMED)
    for role in NUMBERS:
        if role in roles and roles[role] not in lists:
            found[role] = pa.array(numbers(table[roles[role]])[0], from_pandas=True)
    return found


def to_table(transients: Transients) -> pa.Table:
    """Return transients as an object table."""
    offsets, table = pa.array(transients.offsets), transients.columns
    for name, values in (
        ("time", transients.time),
        ("band", band_names(transients)),
        ("flux", transients.flux),
        ("fluxerr", transients.fluxerr),
    ):
        lists = pa.LargeListArray.from_arrays(offsets, pa.array(values))
        table = table.append_column(name, short_list(lists))
    return table.replace_schema_metadata(METADATA)


def write_transients(transients: Transients, path: str) -> None:
    """Write an object table as Parquet (zstd); the file appears whole or not at all."""
    write_parquet(to_table(transients), path)


FORMATS = (Format("parquet", sniff, read),)
