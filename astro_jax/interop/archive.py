"""Archives of plain arrays (`.npz`) that are not trusted: no pickle, no more memory than agreed."""

import zlib
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

from astro_jax.errors import UserError, one_line
from astro_jax.interop.tensorflow import MAX_UNPACKED

BROKEN = (OSError, ValueError, EOFError, MemoryError, RuntimeError, BadZipFile, zlib.error)


def array_names(path: Path) -> list[str]:
    """Return the names of the arrays of a file, [] where it is no archive of arrays."""
    try:
        with ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except BROKEN:
        return []


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an archive by name.

    Raises UserError where it cannot be read, or declares more than MAX_UNPACKED bytes: a stream
    inside is read to its declared size and no further.
    """
    try:
        with ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > MAX_UNPACKED:
            raise UserError(f"{path}: refused, it unpacks to {size} bytes (> {MAX_UNPACKED})")
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (*BROKEN, TypeError, AttributeError, NotImplementedError) as error:
        raise UserError(
            f"{path}: damaged or not an .npz of plain arrays: {one_line(error)}; get the file again"
        ) from None
