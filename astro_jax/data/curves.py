"""Light curves of a survey as flat arrays with offsets: what every reader returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Self

import numpy as np
import pyarrow as pa

from astro_jax.errors import UserError


class Ragged:
    """What records of N curves in flat arrays share: `offsets` [N + 1], `columns` of N rows.

    Every other field that is an array is flat, [M]; curve k is `offsets[k]:offsets[k + 1]`.
    A field that is a mapping holds arrays of N rows.
    """

    offsets: np.ndarray
    columns: pa.Table

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Observations of each curve, [N] int64."""
        return np.diff(self.offsets)

    @property
    def star(self) -> np.ndarray:
        """What a split must keep together, [N]: `star`, or `id` where there is none."""
        name = "star" if "star" in self.columns.column_names else "id"
        column = self.columns[name]
        if not column.null_count:
            return column.to_numpy(zero_copy_only=False)
        # null where one of several files lacks the column: such rows are no star of their own
        pairs = zip(column.to_pylist(), self.columns["id"].to_pylist(), strict=True)
        return np.array([id if star is None else star for star, id in pairs], object)

    @property
    def flat(self) -> dict[str, np.ndarray]:
        """The flat arrays by name, [M] each."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "offsets"}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def take(self, rows: Sequence[int] | np.ndarray) -> Self:
        """Return the curves `rows` (indices or a boolean mask), in that order."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        index, offsets = flat_index(self.offsets, rows)
        new = {name: values[index] for name, values in self.flat.items()}
        for name in (f.name for f in fields(self) if isinstance(getattr(self, f.name), Mapping)):
            new[name] = {key: values[rows] for key, values in getattr(self, name).items()}
        return replace(self, **new, offsets=offsets, columns=self.columns.take(pa.array(rows)))

    def with_columns(self, columns: pa.Table) -> Self:
        """Return the same curves with other scalar columns."""
        return replace(self, columns=columns)


@dataclass(frozen=True)
class Curves(Ragged):
    """N single-band light curves; curve k is the slice `offsets[k]:offsets[k + 1]`.

    time: [M] float64, days, MJD (JD - 2400000.5), strictly increasing inside a curve
    mag: [M] float32, magnitudes
    magerr: [M] float32, 1 sigma in magnitudes, NaN where the survey gives none
    offsets: [N + 1] int64
    columns: Arrow table of N rows with the scalar columns: `id` (int64 or string) always;
        `band`, `star`, `label`, `period`, `ra`, `dec` ... where the survey has them
    arrays: what a batch carries of each curve beside its photometry, {name: [N, ...]}: class
        numbers, features; set by jobs, never by readers
    """

    time: np.ndarray
    mag: np.ndarray
    magerr: np.ndarray
    offsets: np.ndarray
    columns: pa.Table
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def with_arrays(self, **arrays: np.ndarray) -> Self:
        """Return the same curves with more arrays, [N, ...] each, for batches to carry."""
        for name, values in arrays.items():
            if len(values) != len(self):
                raise ValueError(f"{name} has {len(values)} rows for {len(self)} curves")
        return replace(self, arrays={**self.arrays, **arrays})

    def curve(self, k: int) -> np.ndarray:
        """Return curve k as [n, 3] float64: time (days), magnitude, error."""
        part = slice(self.offsets[k], self.offsets[k + 1])
        return np.stack([self.time[part], self.mag[part], self.magerr[part]], axis=1, dtype=float)


def flat_index(offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the observations of `rows`, and the offsets of the new order."""
    lengths = np.diff(offsets)[rows]
    new = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    index = np.arange(new[-1]) + np.repeat(offsets[:-1][rows] - new[:-1], lengths)
    return index, new


def from_arrays(
    curves: Sequence[np.ndarray], ids: Sequence | None = None, **columns: Sequence
) -> Curves:
    """Build a survey from [n, 2 or 3] arrays (time in days, magnitude, optional error).

    The arrays are taken as they are: sorting and cleaning is the readers' work.
    """
    curves = [np.asarray(c, dtype=float) for c in curves]
    for k, c in enumerate(curves):
        if c.ndim != 2 or c.shape[1] not in (2, 3):
            raise UserError(f"curve {k} has shape {c.shape}; give [n, 2 or 3]: time, mag[, err]")
    full = [
        c if c.shape[1] == 3 else np.pad(c, ((0, 0), (0, 1)), constant_values=np.nan)
        for c in curves
    ]
    flat = np.concatenate(full) if full else np.empty((0, 3))
    offsets = np.concatenate([[0], np.cumsum([len(c) for c in curves])]).astype(np.int64)
    table = pa.table({"id": pa.array(range(len(curves)) if ids is None else ids), **columns})
    return Curves(
        flat[:, 0], flat[:, 1].astype(np.float32), flat[:, 2].astype(np.float32), offsets, table
    )
