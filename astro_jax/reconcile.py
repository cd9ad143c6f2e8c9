"""Reconciliation of a folder of embeddings with its input: by row, by key, by null."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from astro_jax.data.pieces import key_hashes
from astro_jax.data.rows import KEY
from astro_jax.errors import UserError
from astro_jax.units import Unit, manifest, sha256, sweep, sweep_file
from astro_jax.workdir import read_json, write_text

COUNTS = ("rows_in", "rows_out", "filtered", "quarantined")
SHOWN = 3  # problems in a message; all are in the file


def reconcile(folder: Path, units: Sequence[Unit], settings: str) -> dict[str, Any]:
    """Return the sums over all units, once every row, key and value of the folder is found right.

    Rows in = rows out + filtered + quarantined, and as many in as the input holds; the files are
    what the records say; no key (id, band, survey) twice; no null and no value that is not finite.
    Needs 8 bytes of memory a row.  What was found is written to `_reconciliation.json`.
    Raises UserError with what is wrong.
    """
    sweep(folder, {unit.name for unit in units})
    sweep_file(folder / "_settings.json")
    told, problems, hashes, files = dict.fromkeys(COUNTS, 0), [], [], []
    for unit in units:
        record = read_json(manifest(folder, unit.name))
        told = {name: told[name] + record[name] for name in COUNTS}
        problems += [f"{unit.name}: {p}" for p in wrong_counts(unit, record, settings)]
        if record["output"]:
            path = folder / record["output"]
            found, keys = wrong_table(path, record)
            problems += [f"{path.name}: {p}" for p in found]
            hashes.append(keys)
            files.append(path)
    problems += strangers(folder, units) + other_kinds(files) + repeated(files, hashes)
    summary = {"units": len(units), **told, "problems": problems[:1000]}
    target = folder / "_reconciliation.json"
    sweep_file(target)
    write_text(target, json.dumps(summary, indent=1) + "\n")
    if problems:
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise UserError(
            f"{folder} does not agree with its input: {'; '.join(problems[:SHOWN])}{more} "
            f"(see {target})"
        )
    return summary


def wrong_counts(unit: Unit, record: dict[str, Any], settings: str) -> list[str]:
    """Return what is wrong with the numbers of a record."""
    out = record["rows_out"] + record["filtered"] + record["quarantined"]
    found = []
    if record["rows_in"] != out:
        found.append(f"{record['rows_in']} rows in, {out} accounted for")
    if unit.rows is not None and record["rows_in"] != unit.rows:
        found.append(f"{unit.rows} rows in the input, {record['rows_in']} read")
    if record["settings"] != settings:
        found.append("made with another run or config")
    return found


def wrong_table(path: Path, record: dict[str, Any]) -> tuple[list[str], np.ndarray]:
    """Return what is wrong with the table of a unit, and the hashes of its keys, [N] int64."""
    if not path.is_file():
        return ["is not there"], np.zeros(0, np.int64)
    if sha256(path) != record["sha256"]:
        return ["is not what was written (SHA-256)"], np.zeros(0, np.int64)
    found, rows, keys = read_table(path)
    if rows != record["rows_out"]:
        found.append(f"{rows} rows, {record['rows_out']} in the record")
    return found, keys


def read_table(path: Path, id_name: str = "id") -> tuple[list[str], int, np.ndarray]:
    """Return what is wrong with ids and embeddings of a table, its rows, the hashes of its keys."""
    found, keys, rows = [], [np.zeros(0, np.int64)], 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(2**14):
            table = keyed(pa.Table.from_batches([batch]), id_name)
            rows += table.num_rows
            nulls = table["id"].null_count
            found += [f"{nulls} null ids"] if nulls else []
            bad = not_finite(table["embedding"].combine_chunks())
            found += [f"{bad} embeddings are null or not finite"] if bad else []
            keys.append(key_hashes(table))
    return found, rows, np.concatenate(keys)


def keyed(table: pa.Table, id_name: str) -> pa.Table:
    """Return a table whose column of ids is called `id`."""
    return table.rename_columns({id_name: "id"}) if id_name != "id" else table


def not_finite(column: pa.Array) -> int:
    """Return how many lists are null or empty or hold what is not finite, at any depth."""
    if not pa.types.is_nested(column.type):
        bad = pc.invert(pc.fill_null(pc.is_finite(column), False))
        return pc.sum(bad).as_py() or 0
    empty = pc.sum(pc.equal(pc.list_value_length(column), 0)).as_py() or 0
    return column.null_count + empty + not_finite(column.flatten())


def strangers(folder: Path, units: Iterable[Unit]) -> list[str]:
    """Return the tables and records that belong to no unit of the input."""
    known = {unit.name for unit in units}
    found = [*folder.glob("*.parquet"), *(folder / "_manifest").glob("*.json")]
    return [
        f"{path} belongs to no file of the input (one that was removed, or renamed, or joined by "
        "others): remove it"
        for path in sorted(found)
        if path.stem not in known
    ]


def other_kinds(files: Sequence[Path]) -> list[str]:
    """Return the tables whose columns are not those of the first."""
    schemas = [pq.read_schema(path) for path in files if path.is_file()]
    return [
        f"{path.name} has columns {schema.names} of {[str(t) for t in schema.types]}, "
        f"{files[0].name} {schemas[0].names} of {[str(t) for t in schemas[0].types]}"
        for path, schema in zip(files, schemas, strict=False)
        if schema != schemas[0]
    ]


def repeated(files: Sequence[Path], hashes: Sequence[np.ndarray], id_name: str = "id") -> list[str]:
    """Return the keys that occur in two units, or twice in one, with the units.

    Sorted by hash first; the few rows whose hash occurs twice are then compared as they are.
    """
    values = np.sort(np.concatenate([np.zeros(0, np.int64), *hashes]))
    twice = np.unique(values[1:][values[1:] == values[:-1]])
    where = defaultdict(list)
    for path, own in zip(files, hashes, strict=True) if len(twice) else ():
        rows = np.flatnonzero(np.isin(own, twice))
        names = [n for n in (id_name, *KEY) if len(rows) and n in pq.read_schema(path).names]
        if names := list(dict.fromkeys(names)):
            table = pq.read_table(path, columns=names).take(pa.array(rows))
            for row in table.to_pylist():
                where[tuple(row.values())].append(path.stem)
    return [
        f"the key {', '.join(map(str, key))} is in the input more than once: units "
        f"{', '.join(places[:4])}"
        for key, places in where.items()
        if len(places) > 1
    ]
