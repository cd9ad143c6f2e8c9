"""A run and curves in, arrays out: encode, reconstruct."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from astro_jax import multimodal_infer
from astro_jax.data.clean import (
    REASONS,
    REPEAT,
    SENTINEL,
    TIME,
    TIME_LIMIT,
    flag_first,
    known_errors,
    mag_rules,
    order_epochs,
)
from astro_jax.data.curves import Curves, from_arrays
from astro_jax.data.table import is_list, list_lengths, unnest
from astro_jax.data.windows import Windows, at_most, consecutive_windows, official_windows
from astro_jax.errors import UserError, suggest
from astro_jax.models.astromer import BLOCKS, Record, summary, summary_vector
from astro_jax.weights import Run
from astro_jax.windowed import Pick, at_least_1, by_observation, outputs

CurvesLike = Sequence[np.ndarray] | Curves | pa.Table | str | Path


def encode(
    run: Run,
    curves: CurvesLike,
    window: int | None = None,
    official: bool = False,
    batch_size: int | None = None,
    modality: str = "photometry",
) -> list[np.ndarray] | np.ndarray:
    """Return one vector an observation: one [n_i, D] float32 array a curve, in input order.

    curves: [n, 2 or 3] arrays (time in days, magnitude[, error]) in any order of time, or an
        object table; observation j of a curve has row j, NaN where it is left out (see `tidy`)
    window: observations that the network sees at once (default: as in training); a longer curve
        is cut into consecutive windows, the last one shorter
    official: cut as the released code does (overlapping and repeated windows), and return all
        their rows one after the other: 450 observations give 600 rows
    modality: of a run on several modalities (AstroM3), which takes objects or a table of them and
        gives one unit vector an object, [N, D], NaN where an object lacks the modality
    """
    if "modalities" in run.config:
        return multimodal_infer.encode_objects(run, curves, modality, batch_size)
    run = encoder_of(run)
    clean, places = tidy(as_curves(curves))
    length = at_least_1("window", run.config.window if window is None else window)
    windows = (official_windows if official else consecutive_windows)(clean.lengths, length)
    hidden = np.zeros(len(clean.time), bool)
    pieces = (
        (found.which, found.photometry["mask"], found.value)
        for found in outputs(run, "embedding", clean, hidden, windows, length, batch_size)
    )
    rows = by_observation(windows, pieces, np.zeros((0, run.model.width), np.float32))
    vectors = _split(rows, windows, len(clean))
    return vectors if official else [_untidy(*v) for v in zip(vectors, places, strict=True)]


def reconstruct(
    run: Run,
    curves: CurvesLike,
    probe: Sequence[np.ndarray],
    window: int | None = None,
    batch_size: int | None = None,
) -> list[np.ndarray]:
    """Predict the magnitudes of the observations where `probe` is True, from all others.

    probe: one [n_i] bool array a curve.  Returns one [n_i] float32 array a curve, in the
    magnitude scale of the input, NaN outside the probe, where an observation is left out
    (see `tidy`) and in windows without a visible point.
    With the official weights the prediction has seen what it predicts (see `models.Official`).
    """
    run = encoder_of(run)
    clean, places = tidy(as_curves(curves))
    hidden = _flat_probe(probe, places)
    length = at_least_1("window", run.config.window if window is None else window)
    windows = consecutive_windows(clean.lengths, length)
    pieces = (
        (found.which, seen["mask"], np.where(seen["hidden"], found.value + found.mean, np.nan))
        for found in outputs(run, "reconstruction", clean, hidden, windows, length, batch_size)
        for seen in [found.photometry]
    )
    rows = by_observation(windows, pieces, np.zeros(0, np.float32))
    magnitudes = _split(rows, windows, len(clean))
    return [_untidy(*m) for m in zip(magnitudes, places, strict=True)]


def curve_vectors(
    run: Run, curves: CurvesLike, windows: int = 4, batch_size: int | None = None
) -> np.ndarray:
    """Return one vector a curve, [N, V] float32: the mean of `summary_vector` over its windows.

    windows: of a curve at most, evenly spaced; 0 = all.  0 for a curve without a finite point.
    """
    run = encoder_of(run)
    clean, _ = tidy(as_curves(curves))
    cut = at_most(consecutive_windows(clean.lengths, run.config.window), windows)
    total = _sums(run, _summary, clean, cut, batch_size)
    count = np.maximum(np.bincount(cut.curve, minlength=len(clean)), 1)
    return (total / count[:, None]).astype(np.float32)


def vector_blocks(run: Run) -> dict[str, int]:
    """Return name and size of the blocks of numbers in a vector of `curve_vectors`, in order."""
    run = encoder_of(run)

    def blocks(params: Any, batch: Mapping) -> dict[str, jax.Array]:
        return summary(run.model.apply({"params": params}, batch), batch["photometry"]["mask"])

    found = jax.eval_shape(blocks, run.params, blank_window(run.config.window))
    return {name: found[name].shape[1] for name in BLOCKS if name in found}


def blank_window(length: int) -> dict[str, dict[str, np.ndarray]]:
    """Return a batch of one window of so many observations at 0, to learn shapes from."""
    shape = (1, length)
    photometry = {
        "times": np.zeros(shape, np.float32),
        "values": np.zeros((*shape, 2), np.float32),
        "mask": np.ones(shape, bool),
    }
    return {"photometry": photometry}


def mean_vectors(run: Run, curves: CurvesLike, batch_size: int | None = None) -> np.ndarray:
    """Return the mean of the embeddings of the observations of each curve, [N, D] float32.

    NaN for a curve without a finite point.  The mean of what `encode` returns, but a window leaves
    the device as one vector instead of one an observation.
    """
    run = encoder_of(run)
    clean, _ = tidy(as_curves(curves))
    cut = consecutive_windows(clean.lengths, run.config.window)
    total = _sums(run, _observation_sum, clean, cut, batch_size)
    count = clean.lengths[:, None]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _sums(run: Run, pick: Pick, clean: Curves, cut: Windows, batch_size: int | None) -> np.ndarray:
    """Return the sum over the windows of each curve of what `pick` returns, [N, V]."""
    hidden = np.zeros(len(clean.time), bool)
    total = np.zeros((len(clean), 1), np.float64)
    for found in outputs(run, pick, clean, hidden, cut, run.config.window, batch_size):
        if total.shape[1] != found.value.shape[1]:
            total = np.zeros((len(clean), found.value.shape[1]), np.float64)
        np.add.at(total, cut.curve[found.which], found.value)
    return total


def _summary(record: Record, batch: Mapping) -> jax.Array:
    return summary_vector(record, batch["photometry"]["mask"])


def _observation_sum(record: Record, batch: Mapping) -> jax.Array:
    return jnp.where(batch["photometry"]["mask"][..., None], record["embedding"], 0.0).sum(1)


def encoder_of(run: Run) -> Run:
    """Return the encoder of a run with a head as a run of its own; other runs as they are."""
    if "encoder" not in run.params:
        if "head" in run.params:
            raise UserError("this run has no encoder: its head reads raw curves; give another run")
        return run
    return run._replace(model=run.model.encoder, params=run.params["encoder"])


def as_curves(curves: CurvesLike) -> Curves:
    """Return arrays or an object table as `Curves`, unsorted and with all that is in them.

    An object table is an Arrow table, a data frame that Arrow can take over, or a Parquet file.
    """
    if isinstance(curves, str | Path):
        return from_table(_read_parquet(Path(curves)))
    if hasattr(curves, "__arrow_c_stream__") or isinstance(curves, pa.RecordBatch):
        return from_table(pa.table(curves))
    return curves if isinstance(curves, Curves) else from_arrays(curves)


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is no object table in Parquet ({str(error).splitlines()[0][:150]}); "
            "astro_jax.read_survey reads other formats"
        ) from error


def from_table(table: pa.Table) -> Curves:
    """Return an object table (one band a row) as curves, its observations untouched."""
    table = unnest(table)
    for name in ("id", "time", "mag"):
        if name not in table.column_names:
            raise UserError(f"the object table lacks '{name}'{suggest(name, table.column_names)}")
    lists = {
        n: table[n].combine_chunks() for n in ("time", "mag", "magerr") if n in table.schema.names
    }
    for name, column in lists.items():
        if not is_list(column.type) or not _numeric(column.type.value_type):
            raise UserError(f"column '{name}' holds {column.type}, not lists of numbers")
    if "band" in table.schema.names and is_list(table["band"].type):
        raise UserError("column 'band' holds lists; astro_jax.read_survey makes a row of each band")
    lengths = list_lengths(lists["time"])
    flat = {name: column.flatten().to_numpy(zero_copy_only=False) for name, column in lists.items()}
    if (list_lengths(lists["mag"]) != lengths).any():
        k = int(np.flatnonzero(list_lengths(lists["mag"]) != lengths)[0])
        raise UserError(f"row {k}: 'time' and 'mag' differ in length")
    magerr = np.full(len(flat["mag"]), np.nan, np.float32)
    if "magerr" in lists:
        known = list_lengths(lists["magerr"])
        if ((known != lengths) & (known > 0)).any():
            k = int(np.flatnonzero((known != lengths) & (known > 0))[0])
            raise UserError(f"row {k}: 'mag' and 'magerr' differ in length")
        magerr[np.repeat(known == lengths, lengths)] = flat["magerr"]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    scalars = table.drop_columns(list(lists))
    return Curves(
        flat["time"].astype(float), flat["mag"].astype(np.float32), magerr, offsets, scalars
    )


def _numeric(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_floating(kind) or types.is_integer(kind) or types.is_decimal(kind)


def _split(rows: np.ndarray, windows: Windows, curves: int) -> list[np.ndarray]:
    """Return the rows of all windows as one array a curve."""
    counts = np.bincount(windows.curve, windows.size, curves).astype(int)
    return np.split(rows, np.cumsum(counts))[:-1]


def tidy(curves: Curves) -> tuple[Curves, list[tuple[np.ndarray, int]]]:
    """Return the curves sorted and clean, and (positions in the input, input length) of each.

    By the rules of `data.clean`, but that days may be counted from anywhere: observations that are
    not finite, sentinels (99.999) and repeated epochs are left out, the last two with a warning;
    errors that say nothing are unknown.  Raises UserError for a curve of more than 200,000 days.
    """
    curve = np.repeat(np.arange(len(curves)), curves.lengths)
    rules = ((TIME, ~np.isfinite(curves.time)), *mag_rules(curves.mag))
    flag = flag_first(np.zeros(len(curves.time), np.uint8), *rules)
    flat = order_epochs(curves.time, curve, flag)
    for code in (SENTINEL, REPEAT):
        if lost := int((flag == code).sum()):
            logging.warning("%s: %d observations left out", REASONS[code], lost)
    kept = np.bincount(curve[flat], minlength=len(curves))
    offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
    some = np.flatnonzero(kept)
    span = curves.time[flat[offsets[some + 1] - 1]] - curves.time[flat[offsets[some]]]
    for k in some[span > TIME_LIMIT][:1]:
        raise UserError(f"curve {k} spans {span[some == k][0]:,.0f} days: give times in days")
    places = np.split(flat, offsets[1:-1]) if len(curves) else []
    magerr = known_errors(curves.magerr[flat])
    clean = Curves(curves.time[flat], curves.mag[flat], magerr, offsets, curves.columns)
    starts = zip(places, curves.offsets[:-1], curves.lengths, strict=True)
    return clean, [(place - first, int(length)) for place, first, length in starts]


def _untidy(values: np.ndarray, place: tuple[np.ndarray, int]) -> np.ndarray:
    """Put rows back where their observations stood in the input; NaN elsewhere."""
    positions, length = place
    full = np.full((length, *values.shape[1:]), np.nan, np.float32)
    full[positions] = values
    return full


def _flat_probe(probe: Sequence[np.ndarray], places: list[tuple[np.ndarray, int]]) -> np.ndarray:
    if len(probe) != len(places):
        raise UserError(f"probe has {len(probe)} arrays for {len(places)} curves")
    parts = [np.zeros(0, bool)]
    for k, (part, (positions, length)) in enumerate(zip(probe, places, strict=True)):
        part = np.asarray(part, bool)
        if part.shape != (length,):
            raise UserError(f"probe {k} has shape {part.shape}; its curve has {length} points")
        parts.append(part[positions])
    return np.concatenate(parts)
