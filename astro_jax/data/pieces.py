"""A survey in pieces: object tables in Parquet of any size, a few thousand rows at a time."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ml_collections import ConfigDict

from astro_jax.data import table
from astro_jax.data.curves import Curves
from astro_jax.data.ledger import Ledger, Quarantined, opening
from astro_jax.data.read import UNREADABLE, cleaned, find_files, no_curves, nothing_usable, one_line
from astro_jax.data.rows import KEY, quarantine_rows
from astro_jax.data.source import load_curves
from astro_jax.errors import UserError
from astro_jax.surveys.formats import BINARY
from astro_jax.surveys.source import Source

ROWS = 4096  # of a table that are read at once
END = object()


def survey_pieces(config: ConfigDict) -> Iterator[tuple[Curves, Ledger]]:
    """Yield the curves of `config.data` and their account, piece by piece.

    Files of one layout, an object a row, are read in pieces of ROWS rows, so that a table of any
    length fits the memory; whatever else, and what is chosen from by band or field, is one piece.
    Raises UserError as `read_survey` does; where nothing is usable, at the end.
    """
    paths = find_files(config.data.path) if config.data.path else []
    if not paths or not in_rows(paths, config.data):
        yield load_curves(config)
        return
    seen, usable, lost = [np.zeros(0, np.int64)], False, []
    for path in paths:
        try:
            for curves, ledger in file_pieces(path, config.data, seen):
                usable = usable or len(curves) > 0
                lost = lost if usable else [*lost, *ledger.rows]
                yield curves, ledger
        except UNREADABLE as error:
            row = Quarantined(path, "", "", 1, 0, one_line(error))
            lost = lost if usable else [*lost, row]
            yield no_curves(), opening(1, 0).quarantine([row])
    if not usable:
        raise UserError(nothing_usable(config.data.path, lost))


def file_pieces(
    path: str, data: ConfigDict, seen: list[np.ndarray], groups: Sequence[int] | None = None
) -> Iterator[tuple[Curves, Ledger]]:
    """Yield the clean curves of a file of rows and their account, ROWS rows at a time.

    seen: one array, the hashes of the keys so far; it grows, and a repeated key is quarantined
    groups: the row groups to read; None = all
    """
    for raw in raw_pieces(path, data, groups):
        origin = np.full(len(raw), path, object)
        keys = key_hashes(raw.columns)
        again = np.isin(keys, seen[0])
        seen[0] = np.union1d(seen[0], keys)
        ledger = opening(len(raw), len(raw.time)).note(*raw.notes)
        raw, origin, rows = quarantine_rows(raw, origin, again)
        yield cleaned(raw, origin, ledger.quarantine(rows))


def in_rows(paths: list[str], data: ConfigDict) -> bool:
    """Tell Parquet files of one layout, an object a row, of which every row is wanted."""
    if data.band or data.fields or data.format:
        return False
    schemas = [row_schema(path) for path in paths]
    return None not in schemas and len(set(map(str, schemas))) == 1


def row_schema(path: str) -> pa.Schema | None:
    """Return the schema of a Parquet file with an object a row; None for any other file."""
    with open(path, "rb") as file:
        if file.read(4) != b"PAR1":
            return None
    source = Source(path, None)
    if next(f for f in BINARY if f.sniff(source)).read is not table.read:
        return None
    try:
        schema = pq.read_schema(path).remove_metadata()
    except (OSError, pa.ArrowException):
        return None
    return schema if any(map(holds_lists, schema.types)) else None


def holds_lists(kind: pa.DataType) -> bool:
    """Tell a column of lists, or of structs of them (nested-pandas, HATS)."""
    nested = pa.types.is_struct(kind) and any(table.is_list(field.type) for field in kind)
    return nested or table.is_list(kind)


def raw_pieces(path: str, data: ConfigDict, groups: Sequence[int] | None = None) -> Iterator[Any]:
    """Yield the rows of a file, or of some of its row groups, as raw curves, ROWS at a time."""
    columns = {role: name for role, name in data.columns.items() if name}
    if data.get("label", "label") != "label":
        columns["label"] = data.label
    source = Source(path, None, columns, data.time_format or None)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS, row_groups=groups):
            rows = pa.Table.from_batches([batch]).replace_schema_metadata(
                file.schema_arrow.metadata
            )
            yield table.object_table(table.unnest(rows), source)


def key_hashes(columns: pa.Table) -> np.ndarray:
    """Return 64 bits of the key (id, band, survey) of each row, [N] int64; of this process only."""
    told = np.zeros(columns.num_rows, np.uint64)
    for name in (name for name in KEY if name in columns.column_names):
        column = columns[name]
        if pa.types.is_integer(column.type) and not column.null_count:
            values = column.to_numpy()
        else:
            values = np.fromiter(map(hash, column.to_pylist()), np.int64, len(column))
        told = _mixed(told ^ _mixed(values.astype(np.uint64)))
    return told.view(np.int64)


def _mixed(x: np.ndarray) -> np.ndarray:
    """Mix the bits of uint64 values one to one (splitmix64, Steele et al. 2014)."""
    x = (x + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def ahead(items: Iterable[Any]) -> Iterator[Any]:
    """Iterate over items, the next one being made in a thread while the last one is used."""
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, iterator, END)
        while (item := coming.result()) is not END:
            coming = pool.submit(next, iterator, END)
            yield item
