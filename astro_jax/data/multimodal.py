"""Objects seen in several modalities: named channels, never bare positions.

A modality is one of three kinds of record, whatever its name: a `Series` (a light curve in one
band), `Spectra`, or `Features` (catalogue values).  An object may lack any of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pyarrow as pa

from astro_jax.data.curves import flat_index
from astro_jax.errors import UserError, suggest

FLAT = ("values", "mask")  # the arrays of a record
VARYING = ("time", "flux", "error")  # the channels of a series that differ from slot to slot


class Listed:
    """What light curves and spectra share: those of object k are `offsets[k]:offsets[k + 1]`.

    `values`, and `mask` where there is one, are flat: a row an observation, or a spectrum.
    """

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Rows of each object, [N]: observations, or spectra."""
        return np.diff(self.offsets)

    @property
    def present(self) -> np.ndarray:
        """Which objects have any, [N] bool."""
        return self.lengths > 0

    def take(self, rows: np.ndarray) -> Self:
        """Return the objects `rows` (indices), in that order."""
        index, offsets = flat_index(self.offsets, rows)
        flat = {name: getattr(self, name)[index] for name in FLAT if hasattr(self, name)}
        return replace(self, **flat, offsets=offsets)


@dataclass(frozen=True)
class Series(Listed):
    """One light curve an object; object k is the slice `offsets[k]:offsets[k + 1]`, maybe empty.

    channels: C names, `VARYING` first: the others are constants of the object
    values: [M, C] float32; offsets: [N + 1] int64
    """

    channels: tuple[str, ...]
    values: np.ndarray
    offsets: np.ndarray

    def constants(self, channel: str) -> np.ndarray:
        """Return a channel that does not vary, [N] float32; NaN where there is no light curve."""
        column = place(self.channels, channel)
        full = np.full(len(self), np.nan, np.float32)
        full[self.present] = self.values[self.offsets[:-1][self.present], column]
        return full


@dataclass(frozen=True)
class Spectra(Listed):
    """Spectra on one grid; those of object k are `offsets[k]:offsets[k + 1]`, the best first.

    channels: C names; grid: [S] Angstrom; values: [R, S, C] float32; mask: [R, S] bool, True =
    observed; offsets: [N + 1] int64
    """

    channels: tuple[str, ...]
    grid: np.ndarray
    values: np.ndarray
    mask: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Features:
    """Catalogue values.

    channels: F names; values: [N, F] float32, 0 where unknown; mask: [N, F] bool, True = known
    """

    channels: tuple[str, ...]
    values: np.ndarray
    mask: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def present(self) -> np.ndarray:
        """Which objects have a known value, [N] bool."""
        return self.mask.any(-1)

    def take(self, rows: np.ndarray) -> Self:
        """Return the objects `rows` (indices), in that order."""
        return replace(self, values=self.values[rows], mask=self.mask[rows])

    def column(self, channel: str) -> np.ndarray:
        """Return the values of a channel, [N] float32, NaN where unknown."""
        k = place(self.channels, channel)
        return np.where(self.mask[:, k], self.values[:, k], np.nan)


Modality = Series | Spectra | Features


@dataclass(frozen=True)
class Objects:
    """N objects.

    columns: Arrow table of N rows: `id` always; `label`, and catalogue columns as they were read
    parts: the modalities by name, each of N objects
    arrays: what a batch carries of each object beside them, {name: [N, ...]}, such as `label`
    """

    columns: pa.Table
    parts: Mapping[str, Modality]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, part in {**self.parts, **self.arrays}.items():
            if len(part) != len(self):
                raise ValueError(f"{name} has {len(part)} objects, the table {len(self)}")

    def __len__(self) -> int:
        return self.columns.num_rows

    @property
    def star(self) -> np.ndarray:
        """What a split must keep together, [N]: the id."""
        return self.columns["id"].to_numpy(zero_copy_only=False)

    @property
    def present(self) -> dict[str, np.ndarray]:
        """Which objects have which modality, {name: [N] bool}."""
        return {name: part.present for name, part in self.parts.items()}

    def take(self, rows: Sequence[int] | np.ndarray) -> Self:
        """Return the objects `rows` (indices or a boolean mask), in that order."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        return replace(
            self,
            columns=self.columns.take(pa.array(rows)),
            parts={name: part.take(rows) for name, part in self.parts.items()},
            arrays={name: values[rows] for name, values in self.arrays.items()},
        )

    def with_parts(self, **parts: Modality) -> Self:
        """Return the same objects with other or more modalities."""
        return replace(self, parts={**self.parts, **parts})

    def with_arrays(self, **arrays: np.ndarray) -> Self:
        """Return the same objects with more arrays, [N, ...] each, for batches to carry."""
        return replace(self, arrays={**self.arrays, **arrays})

    def without(self, *names: str) -> Self:
        """Return the same objects without the modalities `names`."""
        return replace(self, parts={n: p for n, p in self.parts.items() if n not in names})


def place(channels: Sequence[str], name: str) -> int:
    """Return where a channel stands; UserError, with the nearest name, where it does not."""
    if name not in channels:
        raise UserError(f"no channel '{name}'{suggest(name, channels)}")
    return list(channels).index(name)


def hide(objects: Objects, name: str, keep: np.ndarray) -> Objects:
    """Return the objects without the modality `name` where `keep` [N] is False."""
    part = objects.parts[name]
    if isinstance(part, Features):
        hidden = replace(part, mask=part.mask & keep[:, None])
        return objects.with_parts(**{name: hidden})
    rows = np.repeat(keep, part.lengths)
    offsets = np.concatenate([[0], np.cumsum(np.where(keep, part.lengths, 0))]).astype(np.int64)
    flat = {field: getattr(part, field)[rows] for field in FLAT if hasattr(part, field)}
    return objects.with_parts(**{name: replace(part, **flat, offsets=offsets)})


def join(parts: Sequence[Objects]) -> Objects:
    """Return several sets of objects with the same modalities and channels as one."""
    if len(parts) == 1:
        return parts[0]
    joined = {}
    for name, first in parts[0].parts.items():
        all_parts = [p.parts[name] for p in parts]
        fields = vars(first)
        changes = {
            key: np.concatenate([getattr(p, key) for p in all_parts])
            for key in FLAT
            if key in fields
        }
        if "offsets" in fields:
            sizes = np.concatenate([np.diff(p.offsets) for p in all_parts])
            changes["offsets"] = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        joined[name] = type(first)(**{**fields, **changes})
    tables = [p.columns for p in parts]
    return Objects(pa.concat_tables(tables, promote_options="default"), joined)
