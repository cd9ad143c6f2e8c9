"""Object tables in Parquet: a row an object, or an object in one band; lists of observations.

Three layouts are read: list columns (`time: list<double>` ...), one column of list<struct>, one of
struct<list> (nested-pandas, HATS). A `band` inside the lists gives a row for each band. Lists named
`time` and `mag` beside `id` are the schema of the object table, whose times are MJD by definition;
under other names the column's name or the user tells the origin. Scalar columns are carried along.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from astro_jax.data.clean import OK, UNEQUAL, FileError, Raw
from astro_jax.data.curves import Curves
from astro_jax.errors import one_line
from astro_jax.surveys.generic import as_text, long_table
from astro_jax.surveys.group import codes, narrow
from astro_jax.surveys.origin import candidates, to_mjd
from astro_jax.surveys.roles import describe, find_roles
from astro_jax.surveys.source import Format, Source
from astro_jax.surveys.values import first_flag, numbers, plain, typed_ids
from astro_jax.workdir import naming

VERSION = "1"
METADATA = {
    "astro_jax.object_table": VERSION,
    "time": "list<double>, days, MJD (JD - 2400000.5), strictly increasing",
    "mag": "list<float>, magnitudes",
    "magerr": "list<float>, 1 sigma in magnitudes; null where unknown",
}
LISTS = ("time", "mag", "magerr", "band")
# One value a million times takes a few bytes on disk; a small file of little else is a bomb.
SMALL, MOST = 1 << 25, 1 << 30  # bytes on disk; bytes in memory of a file that is no larger


def sniff(source: Source) -> bool:
    """Tell a file that was not opened as bytes: the magic PAR1."""
    return source.data is None


def read(source: Source) -> Raw:
    """Read a Parquet file of any layout: object table, nested, or one observation a row."""
    table = open_parquet(source.path)
    if not table.num_rows:
        raise FileError("no rows")
    table = unnest(table)
    if not any(is_list(f.type) for f in table.schema):
        return long_table(table, source, dict(source.columns), np.zeros(table.num_rows, bool))
    return object_table(table, source)


def open_parquet(path: str | Path) -> pa.Table:
    """Return a Parquet file; FileError where it is broken, or far larger in memory than on disk."""
    try:
        if os.path.getsize(path) > SMALL:
            table = pq.read_table(path, partitioning=None)
        else:
            with pq.ParquetFile(path) as file:
                table = pa.Table.from_batches(watched(file.iter_batches()), file.schema_arrow)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FileError(f"broken Parquet file: {one_line(error, 150)}") from error
    names = table.column_names
    if len(set(names)) < len(names):
        raise FileError(f"column '{max(names, key=names.count)}' occurs more than once")
    return table


def watched(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a small file; FileError where they fill the memory."""
    size = 0
    for batch in batches:
        size += batch.nbytes
        if size > MOST:
            raise FileError(f"refused: a small file of more than {MOST:,} bytes in memory")
        yield batch


def is_list(type: pa.DataType) -> bool:
    """Tell whether a column holds lists of any kind."""
    types = pa.types
    return types.is_list(type) or types.is_large_list(type) or types.is_fixed_size_list(type)


def unnest(table: pa.Table) -> pa.Table:
    """Replace list<struct> and struct<list> columns by one list column a field."""
    columns = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        column, type = column.combine_chunks(), field.type
        if is_list(type) and pa.types.is_struct(type.value_type):
            columns |= fields_of_list(column)
        elif pa.types.is_struct(type) and any(is_list(f.type) for f in type):
            columns |= {f.name: pc.struct_field(column, f.name) for f in type}
        else:
            columns[field.name] = column
    return pa.table(columns).replace_schema_metadata(table.schema.metadata)


def fields_of_list(column: pa.Array) -> dict[str, pa.Array]:
    """Return a list<struct> column as one list column a field."""
    values, lengths = column.flatten(), list_lengths(column)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
    return {
        f.name: pa.LargeListArray.from_arrays(offsets, pc.struct_field(values, f.name))
        for f in values.type
    }


def list_lengths(column: pa.Array) -> np.ndarray:
    """Return the lengths of lists, [N] int64; a null list is empty."""
    return pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)


def object_table(table: pa.Table, source: Source) -> Raw:
    """Return the curves of a table with list columns."""
    lists = [f.name for f in table.schema if is_list(f.type)]
    names = table.column_names
    roles = find_roles(names, source.columns, source.path, ("time", "mag", "id"))
    wrong = [roles[r] for r in ("time", "mag") if roles[r] not in lists]
    if wrong:
        raise FileError(f"column '{wrong[0]}' holds no lists, but {', '.join(lists)} do")
    if pa.types.is_nested(table[roles["id"]].type):
        raise FileError(f"the id column holds {table[roles['id']].type}")
    columns = {r: table[roles[r]].combine_chunks() for r in LISTS if roles.get(r) in lists}
    lengths = list_lengths(columns["time"])
    equal = np.ones(len(lengths), bool)
    for role, column in columns.items():
        other = list_lengths(column)
        equal &= (other == lengths) | ((role == "magerr") & (other == 0))
    flat = {r: spread(c, lengths, equal) for r, c in columns.items() if r != "band"}
    time, origin = as_mjd(flat["time"][0], roles, source)
    raw = Raw(
        time,
        narrow(flat["mag"][0]),
        narrow(flat["magerr"][0] if "magerr" in flat else np.full(len(time), np.nan)),
        first_flag(np.zeros(1, bool), unequal(equal, lengths), flat["time"][1], flat["mag"][1]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        pa.table(scalar_columns(table, roles, lists)),
        notes=(describe(roles, origin),) if set(roles.values()) - set(roles) else (),
    )
    if "band" not in columns:
        return raw
    return split_bands(raw, spread_text(columns["band"], lengths, equal))


def unequal(equal: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the flag of the observations whose lists do not pair up, [M] uint8."""
    return np.where(np.repeat(equal, lengths), OK, UNEQUAL).astype(np.uint8)


def as_mjd(time: np.ndarray, roles: dict[str, str], source: Source) -> tuple[np.ndarray, str]:
    """Return times as MJD: by definition where the column is `time`, else by its name."""
    allowed = ("mjd",) if roles["time"] == "time" else candidates(roles["time"])
    return to_mjd(time, f"{source.path}, column {roles['time']}", allowed, source.time_format)


def scalar_columns(
    table: pa.Table,
    roles: dict[str, str],
    lists: list[str],
    renamed: Sequence[str] = ("id", "band", "star", "label"),
) -> dict[str, pa.Array]:
    """Return the scalar columns in their order, those of the roles `renamed` under their name."""
    known = {roles[r]: r for r in renamed if r in roles}
    found = {}
    for name in table.column_names:
        if name in lists or pa.types.is_nested(table[name].type):
            continue
        role = known.get(name, name)
        if name not in known and name in known.values():
            continue  # another column was named for what this one is called
        read = {"id": typed_ids, "band": as_text}.get(role, plain)
        found[role] = read(table[name])
    return found


def spread(column: pa.Array, lengths: np.ndarray, equal: np.ndarray) -> tuple:
    """Return the numbers of lists as one array that has `lengths`, and their flags, both [M].

    Rows that do not pair up are NaN.
    """
    values, flag = numbers(column.flatten())
    own = list_lengths(column)
    if np.array_equal(own, lengths) and equal.all():
        return values, flag
    good = equal & (own == lengths)
    target, origin = np.repeat(good, lengths), np.repeat(good, own)
    full, flags = np.full(lengths.sum(), np.nan), np.zeros(lengths.sum(), np.uint8)
    full[target], flags[target] = values[origin], flag[origin]
    return full, flags


def spread_text(column: pa.Array, lengths: np.ndarray, equal: np.ndarray) -> pa.Array:
    """Return what `spread` does for lists of names: text, null in rows that do not pair up."""
    own = list_lengths(column)
    good = equal & (own == lengths)
    index = np.full(lengths.sum(), -1)
    index[np.repeat(good, lengths)] = np.flatnonzero(np.repeat(good, own))
    return as_text(column.flatten()).take(pa.array(index, mask=index < 0))


def split_bands(raw: Raw, band: pa.Array) -> Raw:
    """Return a row for each band of an object whose lists mix bands."""
    curve = np.repeat(np.arange(len(raw)), np.diff(raw.offsets))
    code = codes(band)
    key = curve * (code.max(initial=0) + 1) + code
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(key[order]) != 0])[: len(key)])
    empty = np.flatnonzero(np.diff(raw.offsets) == 0)
    rows = np.concatenate([curve[order[starts]], empty])
    lengths = np.concatenate([np.diff(np.append(starts, len(key))), np.zeros_like(empty)])
    bands = pa.concat_arrays(
        [band.take(pa.array(order[starts])), pa.nulls(len(empty), pa.string())]
    )
    place = np.argsort(rows, kind="stable")
    columns = raw.columns.take(pa.array(rows[place]))
    columns = columns.append_column("band", bands.take(pa.array(place)))
    offsets = np.concatenate([[0], np.cumsum(lengths[place])]).astype(np.int64)
    return replace(
        raw,
        time=raw.time[order],
        mag=raw.mag[order],
        magerr=raw.magerr[order],
        flag=raw.flag[order],
        offsets=offsets,
        columns=columns,
    )


def to_table(curves: Curves) -> pa.Table:
    """Return curves as an object table; the errors of a curve that has none are null."""
    offsets = pa.array(curves.offsets)
    blank = np.isnan(curves.magerr)
    row = np.repeat(np.arange(len(curves)), curves.lengths)
    some = np.bincount(row[~blank], minlength=len(curves)) > 0
    magerr = pa.LargeListArray.from_arrays(
        offsets, pa.array(curves.magerr), mask=pa.array(~some) if not some.all() else None
    )
    table = curves.columns
    for name, column in (
        ("time", pa.LargeListArray.from_arrays(offsets, pa.array(curves.time))),
        ("mag", pa.LargeListArray.from_arrays(offsets, pa.array(curves.mag))),
        ("magerr", magerr),
    ):
        table = table.append_column(name, short_list(column))
    return table.replace_schema_metadata(METADATA)


def short_list(column: pa.LargeListArray) -> pa.Array:
    """Return a column of lists with 32-bit offsets, which more programs read, where it fits."""
    fits = len(column.values) < 2**31
    return column.cast(pa.list_(column.type.value_type)) if fits else column


def write_table(curves: Curves, path: str) -> None:
    """Write an object table as Parquet (zstd); the file appears whole or not at all."""
    write_parquet(to_table(curves), path)


def write_parquet(table: pa.Table, path: str) -> None:
    """Write a table as Parquet (zstd); the file appears whole or not at all."""
    partial = f"{path}.{os.getpid()}.tmp"
    try:
        with naming(path):
            pq.write_table(table, partial, compression="zstd", row_group_size=20_000)
            os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


FORMATS = (Format("parquet", sniff, read, named=True),)
