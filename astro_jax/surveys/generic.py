"""Any table with one observation a row: CSV, TSV, text with spaces, Parquet; header or none.

Columns are found by name (`roles`), or named by the user. Without a header a table of two or
three numbers a line is time, magnitude, error; a wider one needs names, `col1`, `col2`, ...
A table without ids is one object, named after its file.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astro_jax.data.clean import FileError, Raw
from astro_jax.surveys.group import codes, group
from astro_jax.surveys.origin import candidates, to_mjd
from astro_jax.surveys.roles import ALIASES, EXTRA, describe, find_roles
from astro_jax.surveys.source import Format, Source, split_lines
from astro_jax.surveys.values import first_flag, ids, numbers, plain, typed_ids

POSITIONS = ("time", "mag", "magerr")


def sniff(source: Source) -> bool:
    """Tell any text."""
    return source.data is not None


def read(source: Source) -> Raw:
    """Read a text table of unknown origin."""
    lines = split_lines(source.data)
    table = pa.table(lines.table.columns, names=list(lines.names))
    given = dict(source.columns)
    if not lines.header and not any(given.values()):
        given = by_position(table)
    return long_table(table, source, given, lines.broken)


def by_position(table: pa.Table) -> dict[str, str]:
    """Return the roles of a table without header; raise FileError where they are not plain."""
    width = table.num_columns
    if width not in (2, 3):
        raise FileError(
            f"not a light curve: no header and {width} columns; name them: columns.time=col1 ..."
        )
    head = [numbers(table.column(k).slice(0, 50))[0] for k in range(width)]
    if any(np.isnan(h).mean() > 0.5 for h in head):
        raise FileError("not a light curve: no header, and text where numbers belong")
    return dict(zip(POSITIONS, table.column_names, strict=False))


def long_table(table: pa.Table, source: Source, given: dict, broken: np.ndarray) -> Raw:
    """Return the curves of a table with one observation a row."""
    roles = find_roles(table.column_names, given, source.path)
    time, bad_time = numbers(table[roles["time"]])
    where = f"{source.path}, column {roles['time']}"
    time, origin = to_mjd(time, where, candidates(roles["time"]), source.time_format)
    mag, bad_mag = numbers(table[roles["mag"]])
    magerr = numbers(table[roles["magerr"]])[0] if "magerr" in roles else None
    id = pa.array([source.stem] * len(time))
    if "id" in roles:
        id = (typed_ids if source.data is None else ids)(table[roles["id"]])
    band = as_text(table[roles["band"]]) if "band" in roles else None
    return group(
        id,
        time,
        mag,
        magerr,
        first_flag(broken, bad_time, bad_mag),
        band,
        {**constants(table, roles, id), **scalars(table, roles)},
        notes=(describe(roles, origin),),
    )


def scalars(table: pa.Table, roles: dict[str, str]) -> dict[str, pa.Array]:
    """Return the columns that describe an object: star, label, position, period."""
    found = {role: as_text(table[roles[role]]) for role in ("star", "label") if role in roles}
    for name in table.column_names:
        key = name.lower()
        if key in EXTRA and key not in found and name not in roles.values():
            column = table.column(table.column_names.index(name))
            text = key in ("label_std", "survey")
            found[key] = as_text(column) if text else pa.array(numbers(column)[0])
    return found


def constants(table: pa.Table, roles: dict[str, str], id: pa.Array) -> dict[str, pa.Array]:
    """Return the further columns of numbers that do not change within any object.

    They describe the object, and may be what a regression predicts (`config.data.target`).
    """
    place = codes(id)
    starts = np.unique(place, return_index=True)[1]
    first, found = pa.array(starts[place]), {}
    if len(starts) == len(place):  # one observation each: nothing to tell a constant by
        return found
    for k, name in enumerate(table.column_names):
        column = plain(table.column(k))
        if name.lower() in (*EXTRA, *ALIASES) or name in roles.values() or not flat(column.type):
            continue
        column = as_text(column) if pa.types.is_string(column.type) else column
        same = pc.equal(column, column.take(first))  # null where a cell is
        alike = pc.or_(pc.fill_null(same, False), pc.is_null(column))
        values = numbers(column)[0] if pc.all(alike).as_py() else np.full(1, np.nan)
        if np.isfinite(values).any():
            found[name] = pa.array(values)
    return found


def flat(kind: pa.DataType) -> bool:
    """Tell text, and numbers."""
    types = pa.types
    return types.is_string(kind) or types.is_integer(kind) or types.is_floating(kind)


def as_text(column: pa.ChunkedArray) -> pa.Array:
    """Return a column of names as text; an empty cell is null."""
    column = plain(column)
    if pa.types.is_nested(column.type):
        raise FileError(f"text expected, not {column.type}")
    column = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.equal(column, ""), None, column)


FORMATS = (Format("csv", sniff, read, named=True),)
