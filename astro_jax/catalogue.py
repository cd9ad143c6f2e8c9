"""Embeddings of a catalogue of any size: a folder of units, each done once, whatever is killed."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from ml_collections import ConfigDict
from tqdm import tqdm

from astro_jax import checkpoint
from astro_jax.data.curves import Curves
from astro_jax.data.ledger import Ledger, Quarantined, merged, opening
from astro_jax.data.pieces import ahead, file_pieces
from astro_jax.data.read import UNREADABLE, as_bands, chosen, no_curves, read_paths
from astro_jax.data.rows import KEY
from astro_jax.embed import embed, write_parquet
from astro_jax.errors import UserError, one_line
from astro_jax.reconcile import reconcile
from astro_jax.units import (
    Part,
    Unit,
    check_apart,
    claim_folder,
    digest,
    inputs,
    is_done,
    manifest,
    plan,
    sha256,
    shard,
    sweep,
)
from astro_jax.weights import Run
from astro_jax.workdir import locked, write_text


def run_folder(config: ConfigDict, trained: Run) -> int:
    """Embed the units of `config.shard` into the folder `config.output`; return the exit code 0.

    Where all units of all shards are done, the folder is reconciled with its input.
    Raises UserError where that fails, and KeyboardInterrupt where a signal stops it: the same
    command then goes on.
    """
    folder, (number, count) = Path(config.output), shard(config.shard)
    if not config.data.path:
        raise UserError("a folder of embeddings needs --config.data.path=...")
    if config.data.fields:
        raise UserError("config.data.fields chooses from one file; make one with convert first")
    if config.rows_a_unit < 1:
        raise UserError(f"config.rows_a_unit={config.rows_a_unit} must be at least 1")
    check_apart(config.data.path, folder)
    settings = settings_of(config, trained)
    units = plan(config.data.path, config.rows_a_unit)
    claim_folder(folder, settings)
    with locked(folder / "_shards" / f"{number}-of-{count}"):
        mine = units[number::count]
        sweep(folder, {unit.name for unit in mine})
        todo = [unit for unit in mine if not is_done(folder, unit, settings)]
        print(f"shard {number}/{count}: {len(mine):,} units, {len(mine) - len(todo):,} done before")
        for unit in tqdm(todo, unit="unit", mininterval=10.0, disable=not todo):
            make(unit, config, trained, folder, settings)
    missing = sum(not manifest(folder, unit.name).exists() for unit in units)
    if missing:
        print(f"shard {number}/{count} is done; {missing:,} units of other shards are not yet")
        return 0
    told = reconcile(folder, units, digest(settings))
    print(
        f"{told['rows_out']:,} embeddings of step {trained.step} in {folder}; rows in "
        f"{told['rows_in']:,} = out + {told['filtered']:,} filtered + {told['quarantined']:,} "
        "quarantined, every key once, none null"
    )
    return 0


def settings_of(config: ConfigDict, trained: Run) -> dict[str, Any]:
    """Return what the embeddings depend on beside the input; where files lie is not part of it."""
    model = json.loads(trained.config.model.to_json_best_effort())
    parameters = {"sha256": checkpoint.digest(trained.params), "step": trained.step}
    data = json.loads(config.data.to_json())
    names = ("pooling", "dtype", "attention", "batch_size", "rows_a_unit")  # not: shard, dask
    return {
        "run": {**parameters, "model": model, "window": trained.config.window},
        **{name: config[name] for name in names},
        "data": {name: data[name] for name in ("format", "time_format", "band", "columns")},
    }


def make(
    unit: Unit, config: ConfigDict, trained: Run, folder: Path, settings: Mapping[str, Any]
) -> None:
    """Embed a unit: its table, its quarantine, and last of all its record."""
    told = inputs(unit)  # before reading: a file that changes meanwhile is noticed later
    accounts: list[Ledger] = []
    output = folder / f"{unit.name}.parquet"
    output.unlink(missing_ok=True)
    tables = tables_of(unit, config, trained, accounts)
    first = next(tables, None)
    rows = write_parquet(chained(first, tables), output) if first is not None else 0
    ledger = merged(accounts)
    report = folder / "_quarantine" / f"{unit.name}.csv"
    report.unlink(missing_ok=True)
    if ledger.rows:
        report.parent.mkdir(exist_ok=True)
        ledger.write(str(report))
    record = {
        "unit": unit.name,
        "inputs": told,
        "rows_in": ledger.read.objects,
        "rows_out": rows,
        "filtered": ledger.filtered.objects,
        "quarantined": ledger.quarantined.objects,
        "output": output.name if rows else None,
        "sha256": sha256(output) if rows else None,
        "settings": digest(settings),
    }
    write_text(manifest(folder, unit.name), json.dumps(record, indent=1) + "\n")


def chained(first: pa.Table, rest: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield tables under the schema of the first; UserError where ids are of another kind."""
    yield first
    for table in rest:
        if table.schema != first.schema:
            raise UserError(
                f"one unit has tables of {first.schema} and of {table.schema}: "
                "make one table of its files with convert"
            )
        yield table


def tables_of(
    unit: Unit, config: ConfigDict, trained: Run, accounts: list[Ledger]
) -> Iterator[pa.Table]:
    """Yield the embeddings of a unit; put the account of each piece into a list."""
    bands = as_bands(config.data.band)
    for curves, ledger in ahead(pieces_of(unit, config.data)):
        curves, ledger = in_bands(curves, ledger, bands)
        accounts.append(ledger)
        yield from embed(trained, curves, config, KEY)


def pieces_of(unit: Unit, data: ConfigDict) -> Iterator[tuple[Curves, Ledger]]:
    """Yield the clean curves of a unit and their account, piece by piece; nothing is lost."""
    if unit.parts[0].groups is None:
        columns = {role: name for role, name in data.columns.items() if name}
        choice = chosen(data.format, data.time_format, columns)
        yield read_paths([part.path for part in unit.parts], choice)
        return
    (part,) = unit.parts
    read = 0
    try:
        for curves, ledger in file_pieces(
            part.path, data, [np.zeros(0, np.int64)], range(*part.groups)
        ):
            read += ledger.read.objects
            yield curves, ledger
    except UNREADABLE as error:
        yield no_curves(), lost(part, max(1, (unit.rows or 0) - read), error)


def lost(part: Part, rows: int, error: Exception) -> Ledger:
    """Return the account of rows that could not be read."""
    row = Quarantined(part.path, "", "", rows, 0, one_line(error))
    return opening(rows, 0).quarantine([row])


def in_bands(curves: Curves, ledger: Ledger, bands: list[str]) -> tuple[Curves, Ledger]:
    """Keep the chosen bands, if any are; a unit may well have no curve in them."""
    if not bands or not len(curves):
        return curves, ledger
    if "band" not in curves.columns.column_names:
        raise UserError(f"band '{bands[0]}' is chosen, but the survey has no column of bands")
    keep = np.isin(np.array(curves.columns["band"].to_pylist(), object), bands)
    gone = int((~keep).sum()), int(curves.lengths[~keep].sum())
    return curves.take(keep), ledger.filter(*gone, "other band")
