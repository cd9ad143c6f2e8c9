"""A catalogue of any number of short light curves, in Parquet files of equal size."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from astro_jax.data.curves import Curves, flat_index
from astro_jax.data.simulate import simulate_survey
from astro_jax.data.table import to_table, write_parquet

STARS = 10_240  # that are simulated as ASAS sees them, with some 450 observations each
POINTS = (20, 60)  # observations that an object keeps of its star's
UNUSABLE = 1000  # one object in so many has magnitudes that stand for none
FILE = 25_000  # objects a file
GOLDEN = 0x9E3779B97F4A7C15  # odd, so that a multiple modulo 2^63 names one object


def write_catalogue(folder: Path, objects: int, seed: int) -> int:
    """Write the files that are not there yet; return the bytes of all."""
    files = range(-(-objects // FILE))
    for number in files:
        path = folder / f"tile_{number:05d}.parquet"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            count = min(FILE, objects - number * FILE)
            write_parquet(to_table(drawn(number, count, seed)), str(path))
    return sum((folder / f"tile_{number:05d}.parquet").stat().st_size for number in files)


def drawn(number: int, count: int, seed: int) -> Curves:
    """Draw the objects of a file: each is a star seen at some of its epochs, shifted, with noise.

    A pure function of its arguments.  Ids are 63-bit integers; one object in UNUSABLE has no
    usable observation.
    """
    stars = survey(seed)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(number,))))
    star = rng.integers(len(stars), size=count)
    index, offsets = flat_index(stars.offsets, star)
    lengths = np.diff(offsets)
    wanted = np.minimum(rng.integers(POINTS[0], POINTS[1] + 1, count), lengths)
    curve = np.repeat(np.arange(count), lengths)
    order = np.lexsort((rng.random(len(index)), curve))  # a random order inside each curve
    place = np.arange(len(index)) - np.repeat(offsets[:-1], lengths)
    chosen = np.sort(order[place < wanted[curve]])
    offsets = np.concatenate([[0], np.cumsum(wanted)]).astype(np.int64)
    curve, index = curve[chosen], index[chosen]
    mag = stars.mag[index] + rng.normal(0, 1, count)[curve] + 0.02 * rng.normal(size=len(index))
    first = number * FILE
    unusable = (first + np.arange(count)) % UNUSABLE == UNUSABLE - 1
    mag[unusable[curve]] = 99.999
    ids = [(k * GOLDEN) % 2**63 for k in range(first, first + count)]
    columns = pa.table({"id": pa.array(ids, pa.int64())})
    return Curves(stars.time[index], mag.astype(np.float32), stars.magerr[index], offsets, columns)


@lru_cache(maxsize=1)
def survey(seed: int) -> Curves:
    """Return the stars that objects are drawn from."""
    stars = simulate_survey(STARS, seed, "asas")
    return stars.take(stars.lengths >= POINTS[1])
