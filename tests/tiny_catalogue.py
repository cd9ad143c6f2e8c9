"""A small catalogue in a folder, and an encoder that nobody trained."""

from pathlib import Path

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ml_collections import ConfigDict
from tiny import ROOT, toy_curves

from astro_jax.data.curves import from_arrays
from astro_jax.data.table import to_table
from astro_jax.data.windows import consecutive_windows, gather_windows
from astro_jax.models.astromer import Smoother
from astro_jax.spec import build, spec
from astro_jax.weights import Run, save_safetensors

EMBED = f"--config={ROOT / 'configs' / 'embed.py'}"
BIG = 2**53 + 1  # float64 would make it 2**53
DIM, WINDOW = 8, 16


def untrained(path: Path, seed: int = 0) -> Path:
    """Write an encoder with random parameters as one file; return its path."""
    model = spec(Smoother, width=DIM, heads=2, ffn=8, blocks=1, base=10000.0)
    config = ConfigDict({"model": model, "window": WINDOW})
    built, curves = build(config.model), from_arrays(toy_curves(1, 20))
    windows = consecutive_windows(curves.lengths, WINDOW)
    batch = {"photometry": gather_windows(curves, windows, WINDOW)}
    params = jax.jit(built.init)(jax.random.key(seed), batch)["params"]
    save_safetensors(Run(config, built, params, 0), path)
    return path


def object_rows(first: int, count: int) -> pa.Table:
    """Return rows of an object table: ids beyond float64, every ninth without a usable point."""
    curves = toy_curves(count, 12, seed=first)
    for k in range(count):
        if (first + k) % 9 == 4:
            curves[k][:, 1] = 99.999
    ids = BIG + 2 * np.arange(first, first + count)
    return to_table(from_arrays(curves, ids=ids, band=["R"] * count))


def catalogue(folder: Path, files: int = 3, rows: int = 40, group: int = 10) -> Path:
    """Write a folder of Parquet files in row groups of `group`; return it."""
    (folder / "north").mkdir(parents=True)
    for k in range(files):
        path = folder / ("north" if k % 2 else ".") / f"tile_{k}.parquet"
        pq.write_table(object_rows(k * rows, rows), path, row_group_size=group)
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return the content of every file of a folder but the locks, by its name."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock")
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}
