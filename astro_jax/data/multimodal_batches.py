"""Batches of objects in several modalities: the batch of a step is a function of (seed, step)."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from astro_jax.data.multimodal import VARYING, Features, Objects, Series, Spectra
from astro_jax.data.pipeline import Feed, stream
from astro_jax.data.sampling import bits
from astro_jax.errors import UserError, suggest

CROP, SPECTRUM = 99, 98  # streams of random numbers
PADDINGS = ("zero", "tile_aux")


class ObjectBatches(NamedTuple):
    """The map step -> batch of training; picklable, so that worker processes can hold it.

    length: observations of a light curve, a random piece of a longer one; padding: "zero", or
    "tile_aux": the constants of a light curve stand in the padding too (the first released loader)
    any_spectrum: draw one of the spectra of an object at each step, instead of the best
    """

    objects: Objects
    seed: int
    batch_size: int
    length: int
    padding: str = "zero"
    any_spectrum: bool = False

    def __call__(self, step: int) -> dict:
        """Return the batch of a step: the next objects of an epoch, each once an epoch.

        A set of fewer objects than a batch fills it up with padding rows of weight 0.
        """
        size = len(self.objects)
        numbers = np.arange(min(self.batch_size, size), dtype=np.uint32)
        turn, which = stream(self.seed, int(step) * len(numbers), len(numbers), size)

        def draw(stream: int, choices: np.ndarray) -> np.ndarray:
            drawn = bits(self.seed, turn, which.astype(np.uint32), np.array([stream], np.uint32))
            return (drawn % np.maximum(choices, 1).astype(np.uint32)).astype(np.int64)

        def choose(part: Series | Spectra) -> np.ndarray:
            lengths = part.lengths[which]
            if isinstance(part, Series):  # the last start may be drawn, as in the second loader
                return draw(CROP, np.maximum(lengths - self.length, 0) + 1)
            return draw(SPECTRUM, lengths if self.any_spectrum else np.ones_like(lengths))

        chosen = {
            name: choose(part)
            for name, part in self.objects.parts.items()
            if not isinstance(part, Features)
        }
        return make_batch(
            self.objects, which, numbers, chosen,
            self.batch_size, self.length, self.padding,
        )  # fmt: skip


def make_batch(
    objects: Objects,
    which: np.ndarray,
    numbers: np.ndarray,
    chosen: Mapping[str, np.ndarray],
    batch_size: int,
    length: int,
    padding: str = "zero",
) -> dict:
    """Return objects `which` as a batch of `batch_size` rows B; rows behind them have weight 0.

    numbers: [.] from which dropout is drawn; chosen: the first observation of a light curve, the
    number of a spectrum, {modality: [.]}
    {modality: values and mask} as in `models.astrom3`: light curves [B, T, C], spectra [B, S, C],
    features [B, F]; the `arrays` of the objects; row [B] uint32; weight [B] float32.
    """
    missing = batch_size - len(which)
    rows = np.pad(which, (0, missing))
    real = np.arange(batch_size) < len(which)
    batch: dict[str, Any] = {}
    for name, part in objects.parts.items():
        start = np.pad(chosen[name], (0, missing)) if name in chosen else None
        if isinstance(part, Series):
            record = series_rows(part, rows, start, length, padding)
        elif isinstance(part, Spectra):
            record = spectrum_rows(part, rows, start)
        else:
            record = {"values": part.values[rows], "mask": part.mask[rows]}
        batch[name] = {key: _only(value, real) for key, value in record.items()}
    batch |= {name: values[rows] for name, values in objects.arrays.items()}
    batch["row"] = np.pad(numbers.astype(np.uint32), (0, missing))
    batch["weight"] = real.astype(np.float32)
    return batch


def _only(values: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return values with 0, or False, in the rows that are not real."""
    if real.all():
        return values
    return np.where(real.reshape(-1, *[1] * (values.ndim - 1)), values, values.dtype.type(0))


def series_rows(
    part: Series, rows: np.ndarray, start: np.ndarray, length: int, padding: str = "zero"
) -> dict[str, np.ndarray]:
    """Return pieces of light curves from `start` on, values [B, T, C] and mask [B, T]."""
    if padding not in PADDINGS:
        raise UserError(f"config.rows.padding '{padding}' is unknown{suggest(padding, PADDINGS)}")
    slot = np.arange(length)
    mask = slot < (part.lengths[rows] - start)[:, None]
    index = np.where(mask, (part.offsets[rows] + start)[:, None] + slot, 0)
    if not len(part.values):
        return {"values": np.zeros((*mask.shape, len(part.channels)), np.float32), "mask": mask}
    values = np.where(mask[..., None], part.values[index], np.float32(0))
    if padding == "tile_aux":
        aux = [k for k, name in enumerate(part.channels) if name not in VARYING]
        values[..., aux] = values[:, :1, aux]
    return {"values": values, "mask": mask}


def spectrum_rows(part: Spectra, rows: np.ndarray, number: np.ndarray) -> dict[str, np.ndarray]:
    """Return spectrum `number` of each object, values [B, S, C] and mask [B, S]."""
    there = part.present[rows]
    shape = (len(rows), len(part.grid))
    if not len(part.values):
        values = np.zeros((*shape, len(part.channels)), np.float32)
        return {"values": values, "mask": np.zeros(shape, bool)}
    index = np.where(there, part.offsets[rows] + number, 0)
    values = np.where(there[:, None, None], part.values[index], np.float32(0))
    return {"values": values, "mask": part.mask[index] & there[:, None]}


def centred_pieces(objects: Objects, which: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """Return what `make_batch` is to choose when evaluating: the middle of a curve, the best."""
    return {
        name: np.maximum(part.lengths[which] - length, 0) // 2
        if isinstance(part, Series)
        else np.zeros(len(which), np.int64)
        for name, part in objects.parts.items()
        if not isinstance(part, Features)
    }


def object_batches(
    objects: Objects, batch_size: int, length: int, padding: str = "zero"
) -> Iterator[dict]:
    """Yield all objects in order, the last batch filled up with rows of weight 0."""
    for first in range(0, len(objects), batch_size):
        which = np.arange(first, min(first + batch_size, len(objects)))
        chosen = centred_pieces(objects, which, length)
        yield make_batch(objects, which, which, chosen, batch_size, length, padding)


def _train(config: ConfigDict, objects: Objects) -> ObjectBatches:
    rows = config.rows
    return ObjectBatches(
        objects, config.seed, config.batch_size, rows.length, rows.padding,
        rows.get("any_spectrum", False),
    )  # fmt: skip


def _valid(config: ConfigDict, objects: Objects) -> Iterator[dict]:
    return object_batches(objects, config.batch_size, config.rows.length, config.rows.padding)


OBJECTS = Feed(_train, _valid)
