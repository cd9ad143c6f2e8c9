"""The published tri-modal data set (AstroM3Processed) in Parquet: already scaled and standardised.

    photometry  list<list<float>>, n rows of 9: time, flux, error, amplitude, log_period, lksl,
                rfr_score, log_mad, span; not cropped
    spectra     list<list<float>>, 3 rows of 2575: flux, ivar / MAD, log10 MAD
    metadata    list<float>, 34
    label       integer; the names of the classes stand in the schema metadata

A folder holds files whose names begin with train, validation (or valid) and test.  Row 0 of
`spectra` is the flux: some users of the data take row 0 for the wavelength.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from astro_jax.data.clean import FileError
from astro_jax.data.ledger import Ledger, Quarantined, opening
from astro_jax.data.multimodal import VARYING, Features, Objects, Series, Spectra, join
from astro_jax.data.multimodal_rules import (
    CONSTANTS,
    METADATA,
    SPECTRUM_CHANNELS,
    WAVELENGTHS,
    wavelength_grid,
)
from astro_jax.data.table import is_list, list_lengths, open_parquet
from astro_jax.errors import UserError, suggest
from astro_jax.surveys.values import typed_ids

SPLITS = {"train": "train", "validation": "valid", "valid": "valid", "val": "valid", "test": "test"}
IDS = ("id", "source_id", "name")  # the first of these that is there
COLUMNS = ("photometry", "spectra", "metadata", "label")
PHOTOMETRY = (*VARYING, *CONSTANTS["official"])


def is_published(path: str | Path) -> bool:
    """Tell a Parquet file, or a folder of them, with columns of the published data."""
    try:
        names = pq.read_schema(_files(Path(path))[0]).names
    except (OSError, pa.ArrowException, UserError, IndexError):
        return False
    return bool({"photometry", "spectra", "metadata"} & set(names))


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def read_published(
    path: str | Path, classes: Sequence[str] = (), wavelengths: tuple = WAVELENGTHS
) -> tuple[dict[str, Objects], Ledger]:
    """Read a file or a folder of the published layout; return the objects by split, the account.

    A modality whose column is missing, or null or empty in a row, is one that the object lacks.

    classes: names by class number, where the file has none.  A file alone is split "" unless its
    name tells.  Rows whose arrays have another shape, or that have no modality at all, are
    quarantined, and so are repeated ids; values that are not finite are unknown.
    Raises UserError where there is nothing to read.
    """
    files = _files(Path(path))
    if not files:
        raise UserError(f"no Parquet file in {path}")
    found: dict[str, list[Objects]] = {}
    ledger = opening(0, 0)
    for file in files:
        objects, part = read_file(file, classes, wavelengths)
        ledger = add(ledger, part)
        found.setdefault(split_of(file), []).append(objects)
    return {name: join(parts) for name, parts in found.items()}, ledger


def split_of(file: Path) -> str:
    """Return "train", "valid" or "test" from the start of a file's name, else ""."""
    start = file.name.lower().replace("_", "-").partition("-")[0].partition(".")[0]
    return SPLITS.get(start, "")


def add(first: Ledger, second: Ledger) -> Ledger:
    """Return the sum of two accounts."""
    counts = {
        n: type(first.read)(*map(sum, zip(getattr(first, n), getattr(second, n), strict=True)))
        for n in ("read", "kept")
    }
    return Ledger(
        **counts,
        drops=first.drops + second.drops,
        rows=first.rows + second.rows,
        notes=tuple(dict.fromkeys(first.notes + second.notes)),
    )


def read_file(
    file: Path, classes: Sequence[str] = (), wavelengths: tuple = WAVELENGTHS
) -> tuple[Objects, Ledger]:
    """Read one file of the published layout; see `read_published`."""
    try:
        table = open_parquet(file)
    except FileError as error:
        raise UserError(f"{file}: {error}; get it again, or leave it out") from error
    return read_table(table, file, classes, wavelengths)


def read_table(
    table: pa.Table, file: Path, classes: Sequence[str] = (), wavelengths: tuple = WAVELENGTHS
) -> tuple[Objects, Ledger]:
    """Return the objects of an Arrow table of the published layout; file: its name in messages."""
    table = _with_all_modalities(table, file)
    _check_types(table, file)
    grid = wavelength_grid(wavelengths)
    points, point_lengths, curve_good = _matrix(table["photometry"], len(PHOTOMETRY))
    pixels, spectrum_rows, spectrum_good = _matrix(table["spectra"], len(grid))
    metadata = table["metadata"].combine_chunks()
    told = list_lengths(metadata)
    ids = _ids(table, file)
    reasons = np.full(table.num_rows, "", object)
    rows_good = np.isin(spectrum_rows, (0, len(SPECTRUM_CHANNELS)))
    problems = (
        (~np.isin(told, (0, len(METADATA))), f"metadata has not {len(METADATA)} values"),
        (~(spectrum_good & rows_good), f"spectra has not 3 rows of {len(grid)}"),
        (point_lengths + spectrum_rows + told == 0, "no light curve, spectrum or metadata"),
        (~curve_good, f"photometry has not {len(PHOTOMETRY)} columns"),
        (_repeated(ids), "repeated id"),
        (np.array([name is None for name in ids], bool), "no id"),
    )
    for wrong, reason in problems:
        reasons[wrong] = reason
    good = reasons == ""
    ledger = opening(table.num_rows, int(point_lengths.sum()))
    ledger = ledger.quarantine(
        Quarantined(str(file), str(ids[k]), "", 1, int(point_lengths[k]), reasons[k])
        for k in np.flatnonzero(~good)
    )
    parts = {
        "photometry": _series(points, point_lengths, good),
        "spectrum": _spectra(pixels, spectrum_rows, good, grid),
        "metadata": _features(metadata, told, good),
    }
    columns = {"id": pa.array(ids[good])}
    if "label" in table.column_names:
        names = list(classes) or _class_names(table)
        columns["label"] = _labels(table["label"], names, file).filter(pa.array(good))
    return Objects(pa.table(columns), parts), ledger


def _with_all_modalities(table: pa.Table, file: Path) -> pa.Table:
    """Return the table with nulls for each modality that it lacks; one must be there."""
    lacking = [name for name in COLUMNS[:3] if name not in table.column_names]
    if len(lacking) == 3:
        close = next((hint for n in lacking if (hint := suggest(n, table.column_names))), "")
        raise UserError(f"{file} has no column {', '.join(lacking)}: one is needed{close}")
    for name in lacking:
        kind = pa.list_(pa.float32()) if name == "metadata" else pa.list_(pa.list_(pa.float32()))
        table = table.append_column(name, pa.nulls(table.num_rows, kind))
    return table


def _check_types(table: pa.Table, file: Path) -> None:
    """Raise UserError for a column that stands twice or holds something else than it must."""
    names = table.column_names
    kinds = {"photometry": 2, "spectra": 2, "metadata": 1}
    for name, depth in kinds.items():
        kind = table.schema.field(names.index(name)).type
        for _ in range(depth):
            kind = kind.value_type if is_list(kind) else pa.null()
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            told = table.schema.field(names.index(name)).type
            wanted = "list<" * depth + "float" + ">" * depth
            raise UserError(f"{file}: column '{name}' holds {told}; it must be {wanted}")
    for name in (*COLUMNS, *IDS):
        if names.count(name) > 1:
            raise UserError(f"{file}: column '{name}' occurs {names.count(name)} times; leave one")


def _matrix(column: pa.ChunkedArray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the numbers of list<list>, the rows of each, and which have rows of `width` alone."""
    outer = column.combine_chunks()
    rows = list_lengths(outer)
    inner = outer.flatten()
    own = list_lengths(inner)
    owner = np.repeat(np.arange(len(rows)), rows)
    good = np.bincount(owner[own != width], minlength=len(rows)) == 0
    values = inner.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    kept = np.repeat(good[owner], own)
    return values[kept].reshape(-1, width), np.where(good, rows, 0), good


def _ids(table: pa.Table, file: Path) -> np.ndarray:
    name = next((n for n in IDS if n in table.column_names), None)
    if name is None:
        return np.array([f"{file.stem}-{k}" for k in range(table.num_rows)], object)
    try:
        found = typed_ids(table[name])
    except FileError as error:
        raise UserError(f"{file}, column '{name}': {error}; give text or int64") from error
    return found.to_numpy(zero_copy_only=False) if not found.null_count else _objects(found)


def _objects(column: pa.Array) -> np.ndarray:
    """Return a column as Python values, None where null, [N] object."""
    return np.array([*column.to_pylist(), None], object)[:-1]


def _repeated(ids: np.ndarray) -> np.ndarray:
    """Return which ids stood before, [N] bool."""
    _, first = np.unique(ids.astype(str), return_index=True)
    again = np.ones(len(ids), bool)
    again[first] = False
    return again


def _series(points: np.ndarray, lengths: np.ndarray, good: np.ndarray) -> Series:
    """Return the light curves of good rows without the points that are not finite."""
    kept = np.repeat(good, lengths) & np.isfinite(points).all(1)
    curve = np.repeat(np.arange(len(lengths)), lengths)
    size = np.bincount(curve[kept], minlength=len(lengths))[good]
    offsets = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    return Series(PHOTOMETRY, points[kept], offsets)


def _spectra(pixels: np.ndarray, rows: np.ndarray, good: np.ndarray, grid: np.ndarray) -> Spectra:
    there = good & (rows == len(SPECTRUM_CHANNELS))
    kept = np.repeat(there, rows)
    values = pixels[kept].reshape(-1, len(SPECTRUM_CHANNELS), len(grid)).transpose(0, 2, 1)
    mask = np.isfinite(values).all(-1)
    offsets = np.concatenate([[0], np.cumsum(there[good])]).astype(np.int64)
    clean = np.ascontiguousarray(np.where(mask[..., None], values, np.float32(0)))
    return Spectra(SPECTRUM_CHANNELS, grid, clean, mask, offsets)


def _features(metadata: pa.Array, lengths: np.ndarray, good: np.ndarray) -> Features:
    there = good & (lengths == len(METADATA))
    kept = metadata.filter(pa.array(there))
    told = kept.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    values = np.full((len(good), len(METADATA)), np.nan, np.float32)
    values[there] = told.reshape(-1, len(METADATA))
    known = np.isfinite(values[good])
    return Features(METADATA, np.where(known, values[good], np.float32(0)), known)


def _class_names(table: pa.Table) -> list[str]:
    """Return the names of the classes from the schema metadata of the hub, [] if it has none."""
    try:
        told = json.loads((table.schema.metadata or {})[b"huggingface"])
        return list(told["info"]["features"]["label"]["names"])
    except (KeyError, ValueError, TypeError):
        return []


def _labels(column: pa.ChunkedArray, names: Sequence[str], file: Path) -> pa.Array:
    column = column.combine_chunks()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column.cast(pa.string())
    if not (pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        raise UserError(f"{file}: column 'label' holds {column.type}; it must be integers or text")
    if not names:
        raise UserError(f"{file}: no names of classes in its schema; give config.data.classes")
    largest = pc.max(column).as_py()
    if largest is not None and not 0 <= pc.min(column).as_py() <= largest < len(names):
        raise UserError(f"{file}: label {largest}, but there are {len(names)} classes")
    return pa.array(list(names)).take(column.cast(pa.int64()))
