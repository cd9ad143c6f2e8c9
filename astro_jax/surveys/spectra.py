"""Spectra of LAMOST, SDSS and MILES in FITS, and of any survey in Parquet.

FITS, told by what is in them (astropy, extra `fits`):
    image [k, n] with COEFF0, COEFF1   LAMOST to DR7: rows flux, inverse variance, ...; the
                                       wavelength comes from the header alone, other rows differ
    table with FLUX, IVAR and WAVELENGTH, or flux, ivar and loglam   LAMOST from DR8; SDSS
    image [n] with CRVAL1, CDELT1      MILES: flux alone, inverse variance 1
Parquet: a row a spectrum, lists `flux` and (optional) `ivar`, and lists `wavelength`, or the grid
in the schema metadata, as "lambda/Angstrom = a + b*i" or "log10(lambda/Angstrom) = a + b*i".  A
grid that says "air" is turned to vacuum.  The id is a column, in FITS the object's name or OBSID.
"""

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from astro_jax.data.clean import FileError
from astro_jax.data.labels import as_label
from astro_jax.data.ledger import Ledger, Quarantined, few, opening
from astro_jax.data.read import find_files
from astro_jax.data.table import is_list, list_lengths, open_parquet
from astro_jax.errors import UserError, one_line, suggest
from astro_jax.surveys.source import unpack
from astro_jax.surveys.values import numbers, typed_ids

FITS = (".fits", ".fit", ".fits.gz", ".fit.gz")
PROBLEM = "problem"  # why a spectrum cannot be used, among what is told of it
GRID = r"(log10\()?lambda\s*/\s*Angstrom\)?\s*=\s*([\d.eE+-]+)\s*([+-])\s*([\d.eE+-]+)\s*\*\s*i"


class RawSpectra(NamedTuple):
    """R spectra; spectrum k is `offsets[k]:offsets[k + 1]` of the flat arrays.

    wavelength: [M] Angstrom, increasing; flux, ivar: [M], any unit; offsets: [R + 1]
    columns: Arrow table of R rows: `id` (text), `snr` (median flux over its error), `file` (where
    it was read), and others
    """

    wavelength: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    offsets: np.ndarray
    columns: pa.Table

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def one(self, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return wavelength, flux and inverse variance of spectrum k."""
        part = slice(self.offsets[k], self.offsets[k + 1])
        return self.wavelength[part], self.flux[part], self.ivar[part]


def linked(
    spectra: RawSpectra, ledger: Ledger, catalogue: pa.Table, column: str
) -> tuple[RawSpectra, Ledger]:
    """Return spectra under the ids of the catalogue rows whose `column` names them, the account.

    For spectra that are known by another name than their source, such as LAMOST's obsid or the
    name of a file.  Those that no row names keep their own.  So do those of the quarantine.
    Raises UserError where the column is not there, or names none of the spectra.
    """
    if column not in catalogue.column_names:
        known = suggest(column, catalogue.column_names)
        raise UserError(f"config.data.spectra_link: the catalogue has no column '{column}'{known}")
    names = [as_label(value) for value in catalogue[column].to_pylist()]
    place = dict(zip(names, catalogue["id"].to_pylist(), strict=True))
    own = spectra.columns["id"].to_pylist()
    found = [place.get(name) for name in own]
    if not any(found):
        some = next((name for name in names if name), "nothing")
        raise UserError(
            f"config.data.spectra_link: '{column}' of the catalogue, such as {some}, names none of "
            f"the spectra, such as {own[0]}"
        )
    ids = pa.array([a or b for a, b in zip(found, own, strict=True)], pa.string())
    columns = spectra.columns.set_column(spectra.columns.column_names.index("id"), "id", ids)
    lone = [name for name, id in zip(own, found, strict=True) if id is None]
    if lone:
        some = f"{len(lone)} spectra are not named by '{column}' of the catalogue: {few(lone)}"
        ledger = ledger.note(some)
    rows = tuple(row._replace(object=place.get(row.object, row.object)) for row in ledger.rows)
    parts = spectra.wavelength, spectra.flux, spectra.ivar, spectra.offsets
    return RawSpectra(*parts, columns), replace(ledger, rows=rows)


def read_spectra(path: str, id_column: str = "id") -> tuple[RawSpectra, Ledger]:
    """Read a file, a glob or a folder of spectra; return them and the account.

    A file that cannot be read, or a spectrum without two finite pixels, is quarantined.
    Raises UserError where nothing is left.
    """
    found: list[tuple[str, dict[str, Any], np.ndarray]] = []
    lost = []
    for file in find_files(path):
        try:
            rows = read_parquet(file, id_column) if file.endswith((".parquet", ".pq")) else None
            if rows is None and not file.endswith(FITS):
                continue
            found += [(file, *row) for row in (read_fits(file) if rows is None else rows)]
        except UserError:
            raise
        except Exception as error:  # astropy raises whatever its layers raise
            reason = f"unreadable: {type(error).__name__}: {one_line(error, 150)}"
            lost.append(Quarantined(file, Path(file).stem, "", 1, 0, reason))
    kept = []
    for file, told, pixels in found:
        reason = "no id" if told["id"] is None else "no two finite pixels"
        good = np.isfinite(pixels).all(1) & (pixels[:, 0] > 0)
        if told["id"] is None or good.sum() < 2:
            reason = told.get(PROBLEM, reason)
            name = "" if told["id"] is None else str(told["id"])
            lost.append(Quarantined(file, name, "", 1, 0, reason))
        else:
            pixels = pixels[good]
            order = np.argsort(pixels[:, 0], kind="stable")
            kept.append(({**told, "file": file}, pixels[order]))
    if not kept:
        reason = f": {lost[0].file}: {lost[0].reason}" if lost else ""
        raise UserError(f"no spectrum in {path}{reason}; give FITS or Parquet files of spectra")
    return _join(kept), opening(len(kept) + len(lost), 0).quarantine(lost)


def _join(kept: Sequence[tuple[dict[str, Any], np.ndarray]]) -> RawSpectra:
    flat = np.concatenate([pixels for _, pixels in kept])
    offsets = np.concatenate([[0], np.cumsum([len(pixels) for _, pixels in kept])])
    told = [{**facts, "id": str(facts["id"]), "snr": _snr(p)} for facts, p in kept]
    names = list(dict.fromkeys(name for facts in told for name in facts))
    columns = pa.table({name: pa.array([facts.get(name) for facts in told]) for name in names})
    return RawSpectra(*flat.T, offsets.astype(np.int64), columns)


def _snr(pixels: np.ndarray) -> float:
    good = pixels[:, 2] > 0
    if not good.any():
        return 0.0
    return float(np.median(pixels[good, 1] * np.sqrt(pixels[good, 2])))


def read_fits(file: str) -> list[tuple[dict[str, Any], np.ndarray]]:
    """Return the spectrum of a FITS file: its facts, and [n, 3] wavelength, flux, ivar."""
    try:
        from astropy.io import fits
    except ImportError as error:
        raise UserError(f"{file}: FITS needs astropy: pip install -e '.[fits]'") from error
    content = io.BytesIO(unpack(Path(file).read_bytes()))
    with warnings.catch_warnings(action="ignore"), fits.open(content, memmap=False) as units:
        header = units[0].header
        tables = [u for u in units if getattr(u, "columns", None) is not None]
        pixels = _table(tables[0]) if tables else _image(units[0].data, header)
        names = ("OBJNAME", "OBSID", "OBJID", "NAME")
        id = next((header[n] for n in names if header.get(n) not in (None, "")), Path(file).stem)
        told: dict[str, Any] = {"id": str(id).strip()}
        for key, name in (("RA", "ra"), ("DEC", "dec"), ("SUBCLASS", "subclass"), ("Z", "z")):
            if key in header:
                told[name] = header[key]
    return [(told, pixels)]


def _image(data: np.ndarray, header: Any) -> np.ndarray:
    data = np.asarray(data, float)
    if "COEFF0" in header and data.ndim == 2:
        wavelength = 10 ** (header["COEFF0"] + header["COEFF1"] * np.arange(data.shape[1]))
        return np.stack([wavelength, data[0], data[1]], axis=1)
    if "CRVAL1" in header and data.squeeze().ndim == 1:
        flux, first = data.squeeze(), header.get("CRPIX1", 1)
        wavelength = header["CRVAL1"] + header["CDELT1"] * (np.arange(len(flux)) + 1 - first)
        return np.stack([wavelength, flux, np.ones(len(flux))], axis=1)
    raise ValueError("an image without COEFF0 or CRVAL1: no known spectrum")


def _table(unit: Any) -> np.ndarray:
    names = {name.lower(): name for name in unit.columns.names if name}
    for name in ("flux", "ivar"):
        if name not in names:
            raise KeyError(f"a table without '{name}'")

    def column(name: str) -> np.ndarray:
        return np.asarray(unit.data[names[name]], float).ravel()

    if "wavelength" in names:
        wavelength = column("wavelength")
    elif "loglam" in names:
        wavelength = 10 ** column("loglam")
    else:
        raise KeyError("a table without 'wavelength' or 'loglam'")
    return np.stack([wavelength, column("flux"), column("ivar")], axis=1)


def read_parquet(file: str, id_column: str = "id") -> list[tuple[dict[str, Any], np.ndarray]]:
    """Return the spectra of a Parquet file: their scalar columns, and [n, 3] arrays."""
    table = open_parquet(file)
    names = table.column_names
    for name in (id_column, "flux"):
        if name not in names:
            raise UserError(f"{file} lacks column '{name}'{suggest(name, names)}")
    lists = {n: list_values(table, n) for n in ("flux", "ivar", "wavelength") if n in names}
    ids = typed_ids(table[id_column]).to_pylist()
    scalars = [n for n in names if n not in lists and not pa.types.is_nested(table[n].type)]
    told = table.select([n for n in scalars if n != id_column]).to_pylist()
    grid = None if "wavelength" in lists else metadata_grid(table, file)
    rows = []
    for k, id in enumerate(ids):
        facts = {**told[k], "id": id} if told else {"id": id}
        flux = lists["flux"][k]
        ivar = lists["ivar"][k] if "ivar" in lists else np.ones(len(flux))
        wave = lists["wavelength"][k] if grid is None else grid(len(flux))
        if not len(flux) == len(ivar) == len(wave):
            facts[PROBLEM] = "flux, ivar and wavelength differ in length"
            flux = ivar = wave = np.zeros(0)
        rows.append((facts, np.stack([wave, flux, ivar], axis=1)))
    return rows


def list_values(table: pa.Table, name: str) -> list[np.ndarray]:
    """Return the numbers of each row of a column of lists, NaN where null, [] for a null list."""
    if not is_list(table[name].type):
        raise FileError(f"column '{name}' holds {table[name].type}, not lists of numbers")
    column = table[name].combine_chunks()
    values, _ = numbers(column.flatten())
    return np.split(values, np.cumsum(list_lengths(column))[:-1])


def metadata_grid(table: pa.Table, file: str) -> Any:
    """Return the map length -> wavelengths that the schema metadata states."""
    told = b" ".join((table.schema.metadata or {}).values()).decode("utf-8", "replace")
    found = re.search(GRID, told)
    if not found:
        raise UserError(
            f"{file}: no column 'wavelength', and no grid in its schema metadata; add one, such as "
            "'log10(lambda/Angstrom) = 3.5682 + 0.0001*i'"
        )
    log, first, sign, step = found.groups()
    air = re.search(r"\bair\b", told[found.start() : found.end() + 40]) is not None

    def grid(length: int) -> np.ndarray:
        values = float(first) + (-1 if sign == "-" else 1) * float(step) * np.arange(length)
        values = 10**values if log else values
        return to_vacuum(values) if air else values

    return grid


def to_vacuum(air: np.ndarray) -> np.ndarray:
    """Return vacuum wavelengths, Angstrom (Ciddor 1996, as Birch & Downs give the index)."""
    inverse = (1e4 / air) ** 2
    index = 1 + 8.34254e-5 + 2.406147e-2 / (130 - inverse) + 1.5998e-4 / (38.9 - inverse)
    return air * index
