"""Embeddings of a HATS catalogue (Rubin, ZTF) as a HATS catalogue, through LSDB on Dask.

Light curves are nested columns or columns of lists; a partition is read, embedded by an encoder
that each process loads and compiles once, and written; a restart goes on with the next partition.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ml_collections import ConfigDict

from astro_jax.catalogue import in_bands, settings_of
from astro_jax.data import table
from astro_jax.data.clean import FileError
from astro_jax.data.curves import Curves
from astro_jax.data.ledger import Ledger, opening
from astro_jax.data.read import as_bands, cleaned
from astro_jax.data.rows import quarantine_rows
from astro_jax.embed import embed
from astro_jax.errors import UserError
from astro_jax.infer import encoder_of
from astro_jax.nn.precision import as_configured
from astro_jax.reconcile import read_table, repeated
from astro_jax.surveys.roles import find_roles
from astro_jax.surveys.source import Source
from astro_jax.units import check_apart, claim_folder
from astro_jax.weights import Run, load
from astro_jax.workdir import locked, read_json, write_text

MARKS = ("hats.properties", "properties", "collection.properties")
ROW = "_row"  # of the partition that a curve comes from


class Work(NamedTuple):
    """What a process must know to embed a partition; picklable."""

    config: str  # JSON
    keys: tuple[str, ...]  # columns of the input that the output keeps: id, ra, dec
    banded: bool  # one row a band


def is_hats(path: str) -> bool:
    """Tell a folder that holds a HATS catalogue or a collection of them."""
    return bool(path) and any((Path(path) / name).is_file() for name in MARKS)


def run_hats(config: ConfigDict, trained: Run) -> int:
    """Embed a HATS catalogue into the folder `config.output`; return the exit code 0.

    Raises UserError where LSDB is not installed, where the result does not reconcile with the
    input, and KeyboardInterrupt where a signal stops it: the same command then goes on.
    """
    lsdb, folder = _lsdb(), Path(config.output)
    if config.shard:
        raise UserError("config.shard is for folders of files; a HATS catalogue takes config.dask")
    if config.pooling != "mean":
        raise UserError("of a HATS catalogue only config.pooling=mean is written")
    check_apart(config.data.path, folder)
    catalog = lsdb.open_catalog(config.data.path, columns="all")
    work, id_name = work_of(config, catalog)
    claim_folder(folder, settings_of(config, trained))
    with locked(folder / "_shards" / "0-of-1"):
        if not (folder / "hats.properties").exists():
            mend(folder)
            meta = empty_result(catalog.meta, work, trained)
            made = catalog.map_partitions(embed_partition, work, meta=meta, include_pixel=True)
            with cluster(config.dask):
                made.write_catalog(
                    folder,
                    catalog_name=f"{catalog.hc_structure.catalog_name}_embedded",
                    as_collection=False,
                    resume=True,
                )
        told = reconcile_hats(catalog, folder, id_name, work.banded)
    print(
        f"{told['rows_out']:,} embeddings of step {trained.step} in the HATS catalogue {folder}; "
        f"rows in {told['rows_in']:,} = out + {told['filtered']:,} filtered + "
        f"{told['quarantined']:,} quarantined, every key once, none null"
    )
    return 0


def _lsdb() -> Any:
    try:
        import lsdb
    except ImportError as error:
        raise UserError(
            f"a HATS catalogue needs the extra `catalog` ({error}): pip install -e '.[catalog]'"
        ) from error
    return lsdb


def work_of(config: ConfigDict, catalog: Any) -> tuple[Work, str]:
    """Return what processes must know, and the name of the column of ids."""
    nested = table.unnest(pa.Table.from_pandas(catalog.meta))
    try:
        roles = find_roles(
            nested.column_names, _columns(config), config.data.path, ("time", "mag", "id")
        )
    except FileError as error:
        raise UserError(f"{config.data.path}: {error}") from error
    info = catalog.hc_structure.catalog_info
    told = json.loads(config.to_json())
    told["init"] = str(Path(config.init).absolute()) if Path(config.init).exists() else config.init
    told["output"] = str(Path(config.output).absolute())
    keys = (roles["id"], info.ra_column, info.dec_column)
    return Work(json.dumps(told), keys, "band" in roles), roles["id"]


def _columns(config: ConfigDict) -> dict[str, str]:
    return {role: name for role, name in config.data.columns.items() if name}


def empty_result(meta: Any, work: Work, trained: Run) -> Any:
    """Return the frame of no rows that says which columns `embed_partition` returns."""
    width = encoder_of(trained).model.width
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([], pa.float32()), width)
    return result_frame(meta, np.zeros(0, int), work, pa.array([], pa.string()), vectors)


def result_frame(
    partition: Any, rows: np.ndarray, work: Work, band: pa.Array, vectors: pa.Array
) -> Any:
    """Return keys, band and embedding as a frame with the index of the partition's rows.

    Columns are arrays without an index of their own: pandas aligns what has one, and would fill
    the embeddings with nulls without a word.
    """
    import pandas as pd
    from nested_pandas import NestedFrame

    columns = {name: partition[name].array.take(rows) for name in work.keys}
    if work.banded:
        columns["band"] = pd.array(band, dtype=pd.ArrowDtype(pa.string()))
    columns["embedding"] = pd.array(vectors, dtype=pd.ArrowDtype(vectors.type))
    return NestedFrame(columns, index=partition.index.take(rows))


def embed_partition(partition: Any, pixel: Any, work: Work) -> Any:
    """Return the embeddings of the usable rows of a partition; leave its account in a file."""
    config = ConfigDict(json.loads(work.config))
    name = f"{pixel.order}_{pixel.pixel}"
    curves, ledger = partition_curves(partition, config, name)
    trained = encoder(config.init, config.step, config.dtype, config.attention)
    parts = list(embed(trained, curves, config, (ROW, "band")))
    if not parts:
        result = empty_result(partition, work, trained)
    else:
        found = pa.concat_tables(parts).combine_chunks()
        rows = found[ROW].to_numpy()
        band = found["band"].combine_chunks() if work.banded else None
        result = result_frame(partition, rows, work, band, found["embedding"].combine_chunks())
    keep_account(Path(config.output), name, ledger, len(result))
    return result


@lru_cache(maxsize=1)
def encoder(init: str, step: str, dtype: str, attention: str) -> Run:
    """Return the run of a process; its programs are compiled once, see `windowed`."""
    trained = load(init, step)
    return trained._replace(
        model=as_configured(trained.model, {"dtype": dtype, "attention": attention})
    )


def partition_curves(partition: Any, config: ConfigDict, name: str) -> tuple[Curves, Ledger]:
    """Return the clean curves of a partition, with their rows in it, and the account."""
    rows = table.unnest(pa.Table.from_pandas(partition, preserve_index=False))
    rows = rows.append_column(ROW, pa.array(np.arange(len(partition))))
    source = Source(name, None, _columns(config), config.data.time_format or None)
    raw = table.object_table(rows, source)
    origin = np.full(len(raw), f"partition {name}", object)
    ledger = opening(len(raw), len(raw.time)).note(*raw.notes)
    raw, origin, lost = quarantine_rows(raw, origin)
    curves, ledger = cleaned(raw, origin, ledger.quarantine(lost))
    return in_bands(curves, ledger, as_bands(config.data.band))


def keep_account(folder: Path, name: str, ledger: Ledger, rows: int) -> None:
    """Write the account of a partition, and its quarantine."""
    report = folder / "_quarantine" / f"{name}.csv"
    report.unlink(missing_ok=True)
    if ledger.rows:
        report.parent.mkdir(parents=True, exist_ok=True)
        ledger.write(str(report))
    record = {
        "rows_in": ledger.read.objects,
        "rows_out": rows,
        "filtered": ledger.filtered.objects,
        "quarantined": ledger.quarantined.objects,
    }
    write_text(folder / "_manifest" / f"{name}.json", json.dumps(record) + "\n")


@contextmanager
def cluster(wanted: ConfigDict) -> Iterator[None]:
    """Run Dask in this process, in processes of this machine, or on a running cluster."""
    if not wanted.workers and not wanted.scheduler:
        import dask

        with dask.config.set(scheduler="synchronous"):
            yield
        return
    from distributed import Client, LocalCluster

    if wanted.scheduler:
        with Client(wanted.scheduler):
            yield
        return
    with (
        LocalCluster(wanted.workers, threads_per_worker=1, dashboard_address=None) as local,
        Client(local),
    ):
        yield


def mend(folder: Path) -> None:
    """Make what a killed process left such that LSDB can go on.

    It writes the table of a partition, its histogram, and a mark that it is done; where a kill
    fell between the last two it would refuse the whole folder.
    """
    from lsdb.io.to_hats import DONE_DIR_NAME, HISTOGRAM_DIR_NAME

    done = {p.name.removesuffix("_done"): p for p in (folder / DONE_DIR_NAME).glob("*_done")}
    histograms = {
        p.name.removesuffix("_histogram.npz"): p
        for p in (folder / HISTOGRAM_DIR_NAME).glob("*_histogram.npz")
    }
    for name in done.keys() ^ histograms.keys():
        path = done.get(name) or histograms[name]
        logging.warning("%s is without its counterpart; its partition is done again", path)
        path.unlink()


def reconcile_hats(catalog: Any, folder: Path, id_name: str, banded: bool) -> Mapping[str, int]:
    """Return the sums over all partitions, once they are found right; else raise UserError.

    By row (input, accounts and tables), by key, and by null, as `reconcile` does for folders.
    """
    pixels = [f"{pixel.order}_{pixel.pixel}" for pixel in catalog.get_healpix_pixels()]
    accounts = [folder / "_manifest" / f"{name}.json" for name in pixels]
    problems = [f"{path} is not there" for path in accounts if not path.exists()]
    records = [read_json(path) for path in accounts if path.exists()]
    names = ("rows_in", "rows_out", "filtered", "quarantined")
    told = {name: sum(record[name] for record in records) for name in names}
    files, hashes, rows = sorted((folder / "dataset").rglob("Npix=*.parquet")), [], 0
    for path in files:
        found, count, keys = read_table(path, id_name)
        problems += [f"{path.name}: {problem}" for problem in found]
        rows += count
        hashes.append(keys)
    problems += repeated(files, hashes, id_name)
    given = sum(pq.read_metadata(path).num_rows for path in _tables(catalog))
    if given != told["rows_in"] and not banded:
        problems.append(f"{given:,} rows in the catalogue, {told['rows_in']:,} read")
    if rows != told["rows_out"]:
        problems.append(f"{rows:,} rows in the tables, {told['rows_out']:,} in the accounts")
    summary = json.dumps({**told, "problems": problems[:1000]}, indent=1)
    write_text(folder / "_reconciliation.json", summary + "\n")
    if problems:
        raise UserError(f"{folder} does not agree with its input: {'; '.join(problems[:3])}")
    return told


def _tables(catalog: Any) -> list[str]:
    base = Path(str(catalog.hc_structure.catalog_path))
    return [str(path) for path in sorted((base / "dataset").rglob("*.parquet"))]
