"""The job that turns a survey into a table of embeddings."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ml_collections import ConfigDict

from astro_jax.checks import check_choices
from astro_jax.data.curves import Curves
from astro_jax.data.ledger import Ledger, merged
from astro_jax.data.pieces import ahead, survey_pieces
from astro_jax.data.source import announce
from astro_jax.errors import UserError
from astro_jax.infer import encode, mean_vectors
from astro_jax.nn.precision import as_configured
from astro_jax.units import sweep_file
from astro_jax.weights import Run, load
from astro_jax.workdir import check_output, naming

POOLING = ("mean", "none")
AT_ONCE = {"mean": 4096, "none": 500}  # curves: 500 have about 0.2 GB of vectors an observation


def run(config: ConfigDict, workdir: Path) -> int:
    """Write `config.output`: id (and band) and embedding of every curve with a finite point.

    embedding is a fixed-size list of float32: the mean over the observations of a curve, or with
    pooling "none" a list of such vectors, one an observation.  An output whose name does not end in
    .parquet is a folder, for a catalogue of any size (see `catalogue`).
    """
    if not config.init or not config.output:
        raise UserError(
            "embed needs --config.init=RUN and --config.output=FILE.parquet (or FOLDER)"
        )
    if config.pooling not in POOLING:
        raise UserError(f"config.pooling '{config.pooling}' is unknown; give mean or none")
    check_choices(config)
    if config.batch_size < 0:
        raise UserError(f"config.batch_size={config.batch_size} must be at least 0 (0: by itself)")
    output = Path(config.output)
    whole = output.suffix == ".parquet"
    if whole and config.get("shard"):
        raise UserError(f"config.shard={config.shard} needs a folder as config.output, not a file")
    if whole:
        check_output(output, config.data.path)
    trained = load(config.init, config.step)
    trained = trained._replace(model=as_configured(trained.model, config))
    print(announce(config), flush=True)
    if not whole:
        from astro_jax.catalogue import run_folder  # which is made of what stands below
        from astro_jax.hats_catalogue import is_hats, run_hats

        return (run_hats if is_hats(config.data.path) else run_folder)(config, trained)
    sweep_file(output)
    accounts: list[Ledger] = []
    rows = write_parquet(embed_pieces(trained, config, accounts), output)
    ledger = merged(accounts)
    print(ledger.summary(), flush=True)
    ledger.report(output)
    print(f"{rows} embeddings of step {trained.step} in {config.output}")
    return 0


def embed_pieces(trained: Run, config: ConfigDict, accounts: list[Ledger]) -> Iterator[pa.Table]:
    """Yield the table of embeddings of `config.data`; put the account of each piece into a list.

    The next piece is read while one goes through the network.
    """
    schema = None
    for curves, ledger in ahead(survey_pieces(config)):
        accounts.append(ledger)
        for table in embed(trained, curves, config):
            schema = schema or table.schema
            yield table.cast(schema)


def embed(
    trained: Run, curves: Curves, config: ConfigDict, keys: Sequence[str] = ("id", "band")
) -> Iterator[pa.Table]:
    """Yield the table of embeddings in pieces: the vectors of all observations may fill no RAM.

    keys: columns that stand before the embedding, where the survey has them
    """
    at_once = AT_ONCE[config.pooling]
    for first in range(0, len(curves), at_once):
        part = curves.take(np.arange(first, min(first + at_once, len(curves))))
        of = mean_vectors if config.pooling == "mean" else encode
        vectors = of(trained, part, batch_size=config.batch_size or None)
        yield embedding_table(part, vectors, config.pooling, keys)


def embedding_table(
    curves: Curves,
    vectors: np.ndarray | list[np.ndarray],
    pooling: str,
    keys: Sequence[str] = ("id", "band"),
) -> pa.Table:
    """Return id (and band) and embedding as an Arrow table, one row a curve, in input order.

    vectors: of the curves, [N, D]; with pooling "none" of their observations, a list of [n, D]
    """
    keys = [name for name in keys if name in curves.columns.column_names]
    item = pa.list_(pa.float32(), vectors[0].shape[-1])
    if pooling == "mean":
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), type=item)
    else:
        flat = pa.FixedSizeListArray.from_arrays(
            pa.array(np.concatenate(vectors).ravel()), type=item
        )
        column = pa.LargeListArray.from_arrays(pa.array(curves.offsets), flat)
    return curves.columns.select(keys).append_column("embedding", column)


def write_parquet(pieces: Iterator[pa.Table], path: Path) -> int:
    """Write a table piece by piece under a temporary name, then rename it; return its rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    first, rows = next(pieces), 0
    try:
        with (
            naming(path),
            pq.ParquetWriter(temporary, first.schema, compression="zstd") as writer,
        ):
            for piece in chain([first], pieces):
                writer.write_table(piece)
                rows += piece.num_rows
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return rows
