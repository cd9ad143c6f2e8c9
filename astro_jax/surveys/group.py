"""Observations of many objects, in any order, as curves."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from astro_jax.data.clean import Raw


def group(
    id: pa.Array,
    time: np.ndarray,
    mag: np.ndarray,
    magerr: np.ndarray | None = None,
    flag: np.ndarray | None = None,
    band: pa.Array | None = None,
    scalars: Mapping[str, pa.Array] | None = None,
    notes: tuple[str, ...] = (),
) -> Raw:
    """Return one curve for each (id, band), in order of first appearance.

    time, mag, magerr, flag, id, band: [M]; scalars: [M], of which a curve takes its first value
    """
    columns = {"id": id, **({} if band is None else {"band": band}), **(scalars or {})}
    code = codes(id)
    if band is not None:
        order = codes(band)
        code = code * (order.max(initial=0) + 1) + order
    sort, starts = runs(code)
    first = pa.array(sort[starts])
    magerr = np.full(len(time), np.nan) if magerr is None else magerr
    flag = np.zeros(len(time), np.uint8) if flag is None else flag
    return Raw(
        time[sort].astype(np.float64),
        narrow(mag[sort]),
        narrow(magerr[sort]),
        flag[sort].astype(np.uint8),
        np.append(starts, len(code)).astype(np.int64),
        pa.table({name: column.take(first) for name, column in columns.items()}),
        notes=notes,
    )


def runs(code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order [M] that brings equal codes together, and where each run starts in it."""
    sort = np.arange(len(code))
    if np.any(np.diff(code) < 0):
        sort = np.argsort(code, kind="stable")
        code = code[sort]
    return sort, np.flatnonzero(np.concatenate([[True], np.diff(code) != 0])[: len(code)])


def narrow(values: np.ndarray) -> np.ndarray:
    """Return values as float32; what is too large becomes infinite, for the cleaning to see."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def codes(column: pa.Array) -> np.ndarray:
    """Return 0, 1, ... by first appearance of each value, [M] int64; null is a value."""
    coded = column.dictionary_encode(null_encoding="encode")
    return coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def single(
    id: str | int,
    time: np.ndarray,
    mag: np.ndarray,
    magerr: np.ndarray | None = None,
    flag: np.ndarray | None = None,
    band: str | None = None,
    notes: tuple[str, ...] = (),
    **scalars,
) -> Raw:
    """Return the one curve of a file."""
    values = {"id": id, **({} if band is None else {"band": band}), **scalars}
    return Raw(
        time.astype(np.float64),
        narrow(mag),
        narrow(np.full(len(time), np.nan) if magerr is None else magerr),
        np.zeros(len(time), np.uint8) if flag is None else flag.astype(np.uint8),
        np.array([0, len(time)]),
        pa.table({name: pa.array([value]) for name, value in values.items()}),
        notes=notes,
    )


def by_band(
    id: pa.Array, time: np.ndarray, bands: Mapping[str, tuple], scalars=None, **rest
) -> Raw:
    """Return curves from rows that hold a magnitude for each band.

    bands: band -> (mag, magerr or None, flag), each [M]
    """
    count, names = len(bands), list(bands)
    mag, magerr, flag = zip(*bands.values(), strict=True)
    blank = np.full(len(time), np.nan)
    return group(
        pa.concat_arrays([id] * count),
        np.tile(time, count),
        np.concatenate(mag),
        np.concatenate([blank if e is None else e for e in magerr]),
        np.concatenate(flag),
        pa.array(np.repeat(names, len(time))),
        {k: pa.concat_arrays([v] * count) for k, v in (scalars or {}).items()},
        **rest,
    )
