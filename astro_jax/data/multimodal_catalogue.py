"""The catalogue of raw parts: Parquet or CSV, a row a source."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from astro_jax.data.clean import FileError
from astro_jax.data.ledger import Ledger, Quarantined, opening
from astro_jax.data.multimodal_rules import METADATA
from astro_jax.data.read import Choice, load
from astro_jax.data.table import open_parquet
from astro_jax.errors import UserError, one_line, suggest
from astro_jax.surveys.source import split_lines
from astro_jax.surveys.values import ids as ids_of_text
from astro_jax.surveys.values import numbers, plain, typed_ids

# Constants of a light curve -> columns of the ASAS-SN catalogue
AUX = {
    "amplitude": "amplitude",
    "period": "period",
    "lksl": "lksl_statistic",
    "rfr_score": "rfr_score",
}
REPEATED = "catalogue row of a repeated id: the last one stays"
NO_ID = "catalogue row with no id"


def read_catalogue(path: str | Path, id_column: str = "id") -> tuple[pa.Table, Ledger]:
    """Return a catalogue (Parquet or CSV) with `id` as text, one row an id, and the account.

    Of a repeated id the last row stays, as in the paper; the others and rows without an id are
    quarantined. Ids of text keep their zeros.  Cells of the columns that are used as numbers and
    are none are unknown.
    Raises UserError where the file is no catalogue or no row has an id.
    """
    try:
        table = _catalogue_cells(str(path), id_column)
        ids = [None if v is None else str(v) for v in typed_ids(table[id_column]).to_pylist()]
        table, wrong = _catalogue_numbers(table.drop_columns([id_column]))
    except (OSError, EOFError, ValueError, FileError, pa.ArrowException) as error:
        raise UserError(
            f"{path} cannot be read as a catalogue ({one_line(error)}); give Parquet, or CSV"
        ) from error
    last = {name: k for k, name in enumerate(ids) if name is not None}
    if not last:
        raise UserError(
            f"{path}: no row has an id in column '{id_column}'; there is nothing to use"
        )
    lost = [
        Quarantined(str(path), name or "", "", 1, 0, NO_ID if name is None else REPEATED)
        for k, name in enumerate(ids)
        if last.get(name) != k
    ]
    ledger = opening(len(ids), 0).quarantine(lost).note(*(f"{path}: {text}" for text in wrong))
    table = table.add_column(0, "id", pa.array(ids, pa.string()))
    return table.take(pa.array(sorted(last.values()), pa.int64())), ledger


def _catalogue_cells(path: str, id_column: str) -> pa.Table:
    """Return the cells of a catalogue, of CSV as text; UserError without a column of ids."""
    source = load(path, Choice(None, None, {}))
    if source.data is None:
        table = open_parquet(path)
    else:
        lines = split_lines(source.data, ",")
        table = pa.table(lines.table.columns, names=list(lines.names))
        if lines.broken.any():
            raise FileError(f"{int(lines.broken.sum())} lines with the wrong number of values")
    names = table.column_names
    if id_column not in names:
        raise UserError(f"{path} lacks column '{id_column}'{suggest(id_column, names[:100])}")
    if len(set(names)) < len(names):
        raise FileError(f"column '{max(names, key=names.count)}' occurs more than once")
    return table


def _catalogue_numbers(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """Return the table with numbers where it has them, and remarks on cells that hold none.

    A column of text whose cells are all numbers becomes one of numbers.
    """
    remarks = []
    for k, name in enumerate(table.column_names):
        text = pa.types.is_string(plain(table.column(k)).type)
        if name not in (*METADATA, *AUX.values()) and not text:
            continue
        try:
            values, flag = numbers(table.column(k))
        except (FileError, pa.ArrowException) as error:
            raise FileError(f"column '{name}': {one_line(error, 100)}") from error
        if name in METADATA or name in AUX.values():
            if flag.any():
                remarks.append(f"column '{name}': {int((flag > 0).sum())} cells are no numbers")
        elif flag.any() or not np.isfinite(values).any():
            continue
        whole = ids_of_text(table.column(k)) if text else table.column(k)
        keeps = pa.types.is_integer(whole.type)
        table = table.set_column(k, name, whole if keeps else pa.array(values, from_pandas=True))
    return table, remarks
