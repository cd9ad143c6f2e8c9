"""What the objects of a survey are like, as quantiles: kept with a run, compared by `doctor`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from astro_jax.data.curves import Curves, Ragged
from astro_jax.data.multimodal import Features, Objects, Series
from astro_jax.data.transient_rows import Rows
from astro_jax.data.transients import Transients, reduce_curves
from astro_jax.workdir import read_json, write_text

QUANTILES = "quantiles.json"
LEVELS = (0, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 1)
INSIDE = (0.005, 0.995)  # between these lies what a run knows: 1 % of its own objects do not
MEASURED = 20_000  # objects: some seconds, and quantiles of 0.5 % rest on a hundred
FEWEST = 0.01  # share of the training objects that must have a quantity for it to be compared


class Compared(NamedTuple):
    """A quantity here and in training: 5, 50 and 95 % points, and the share outside, NaN if open.

    outside: [N] bool, of the objects that have the quantity
    """

    name: str
    here: list[float]
    there: list[float] | None
    share: float
    outside: np.ndarray


def measure(data: Curves | Rows | Transients | Objects) -> dict[str, np.ndarray]:
    """Return numbers of each object, {name with unit: [N] float64}, NaN where there is none."""
    if isinstance(data, Objects):
        return measure_objects(data)
    if isinstance(data, Curves):
        return {**measure_times(data), **measure_magnitudes(data)}
    found = measure_times(data)
    flux, error = (
        (data.values[:, 2], data.values[:, 3])
        if isinstance(data, Rows)
        else (data.flux, data.fluxerr)
    )
    unit = "scaled" if isinstance(data, Rows) else "FLUXCAL"
    found[f"largest flux ({unit})"] = largest(flux, data.offsets)
    found[f"median error of flux ({unit})"] = medians(error, data.offsets)
    band = data.values[:, 0] if isinstance(data, Rows) else data.band
    found["bands"] = np.array(
        [len(np.unique(band[a:b])) for a, b in zip(data.offsets, data.offsets[1:], strict=False)],
        float,
    )
    return found


def measure_times(data: Ragged) -> dict[str, np.ndarray]:
    """Return length, span and cadence of curves."""
    time = data.since if isinstance(data, Rows) else data.time
    gaps = np.diff(time)
    inner = np.ones(len(gaps), bool)
    inner[data.offsets[1:-1][(data.offsets[1:-1] > 0) & (data.offsets[1:-1] < len(time))] - 1] = 0
    lengths = data.lengths
    offsets = np.concatenate([[0], np.cumsum(np.maximum(lengths - 1, 0))])
    first = np.minimum(data.offsets[:-1], max(len(time) - 1, 0))
    last = np.maximum(data.offsets[1:] - 1, 0)
    span = time[last] - time[first] if len(time) else np.zeros(len(lengths))
    return {
        "observations": lengths.astype(float),
        "time span (days)": np.where(lengths > 1, span, np.nan).astype(float),
        "median gap (days)": medians(gaps[inner], offsets),
    }


def measure_magnitudes(curves: Curves) -> dict[str, np.ndarray]:
    """Return magnitude, scatter and error of curves."""
    middle = medians(curves.mag, curves.offsets)
    row = np.repeat(np.arange(len(curves)), curves.lengths)
    return {
        "median magnitude": middle,
        "scatter (mag, 1.48 MAD)": 1.4826 * medians(np.abs(curves.mag - middle[row]),
                                                    curves.offsets),
        "median error (mag)": medians(curves.magerr, curves.offsets),
    }  # fmt: skip


def measure_objects(objects: Objects) -> dict[str, np.ndarray]:
    """Return lengths of light curves, their constants, and the catalogue values of objects."""
    found: dict[str, np.ndarray] = {}
    for name, part in objects.parts.items():
        if isinstance(part, Series):
            found[f"{name}: observations"] = np.where(part.present, part.lengths, np.nan)
            for channel in part.channels[3:]:
                found[f"{name}: {channel} (standardised)"] = part.constants(channel).astype(float)
        elif isinstance(part, Features):
            for channel in part.channels:
                found[f"{name}: {channel} (standardised)"] = part.column(channel).astype(float)
    return found


def medians(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the median of the finite values [M] of each curve, [N] float64; NaN where none is."""
    curve = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    finite = np.isfinite(values)
    values, curve = np.asarray(values, float)[finite], curve[finite]
    values = values[np.lexsort((values, curve))]
    size = np.bincount(curve, minlength=len(offsets) - 1)
    start = np.cumsum(size) - size
    some = size > 0
    found = np.full(len(size), np.nan)
    low, high = ((start + (size - 1) // 2)[some], (start + size // 2)[some])
    found[some] = 0.5 * (values[low] + values[high])
    return found


def largest(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the largest value [M] of each curve, [N] float64; NaN for an empty one."""
    return reduce_curves(np.maximum, np.asarray(values, float), offsets, np.nan)


def quantiles(values: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    """Return the quantiles of LEVELS of each quantity that enough objects have."""
    found = {}
    for name, column in values.items():
        known = column[np.isfinite(column)]
        if len(known) and len(known) >= FEWEST * len(column):
            found[name] = [float(f"{q:.6g}") for q in np.quantile(known, LEVELS)]
    return found


def keep_quantiles(workdir: Path, data: Any, more: Mapping[str, np.ndarray] | None = None) -> None:
    """Write the quantiles of training data to the folder of a run; more: other quantities.

    Of more than MEASURED objects so many are drawn.
    """
    rows = np.random.default_rng(0).permutation(len(data))[:MEASURED]
    some = data.take(np.sort(rows))
    told = {
        "levels": LEVELS,
        "objects": len(some),
        "quantiles": quantiles({**measure(some), **(more or {})}),
    }
    write_text(workdir / QUANTILES, json.dumps(told, indent=1) + "\n")


def kept_quantiles(run: str | Path) -> dict[str, list[float]]:
    """Return what `keep_quantiles` left in a run folder; nothing where it left nothing."""
    path = Path(run) / QUANTILES
    return read_json(path)["quantiles"] if path.exists() else {}


def compare(values: Mapping[str, np.ndarray], known: Mapping[str, list[float]]) -> list[Compared]:
    """Return how each quantity lies to the quantiles of a run, those outside by INSIDE."""
    low, high = (LEVELS.index(level) for level in INSIDE)
    middle = [LEVELS.index(level) for level in (0.05, 0.5, 0.95)]
    found = []
    for name, column in values.items():
        some = np.isfinite(column)
        if not some.any():
            continue
        there = known.get(name)
        outside = np.zeros(len(column), bool)
        if there:
            slack = 1e-5 * max(abs(there[low]), abs(there[high]))  # kept with six digits
            outside = some & ((column < there[low] - slack) | (column > there[high] + slack))
        found.append(
            Compared(
                name,
                np.quantile(column[some], [0.05, 0.5, 0.95]).tolist(),
                [there[k] for k in middle] if there else None,
                float(outside[some].mean()) if there else float("nan"),
                outside,
            )
        )
    return found
