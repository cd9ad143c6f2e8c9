"""SNANA FITS: pairs of files, HEAD with a row a supernova and PHOT with its observations.

PTROBS_MIN and PTROBS_MAX of a row of HEAD are the first and the last of its rows in PHOT, counted
from 1; a row of MJD -777 ends each curve. The header of HEAD names the PHOT file (PHOTFILE) and the
survey, whose letters the bands are. Fluxes are FLUXCAL (zero point 27.5). ELAsTiCC and DES come in
this form. Sources: SNANA manual, section 4.36.1; the format notes of ELAsTiCC and DES-SN5YR.
Needs astropy (extra `fits`).
"""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from astro_jax.data.clean import FileError
from astro_jax.data.curves import flat_index
from astro_jax.data.transient_rules import RawTransients, to_fluxcal
from astro_jax.data.transients import ZERO_POINT
from astro_jax.errors import UserError, one_line, suggest
from astro_jax.surveys.fluxes import band_codes, empty, with_trigger
from astro_jax.surveys.group import narrow
from astro_jax.surveys.roles import TRANSIENT
from astro_jax.surveys.source import Format, Source, unpack
from astro_jax.surveys.values import whole_text

MAGIC = b"SIMPLE  ="
NAMED = ("PHOTFILE", "SURVEY")  # what is taken from the headers
# The first column that is there. -9, "not known", becomes null with the rules for all formats.
COLUMNS = {
    "label": ("SIM_TYPE_NAME", "SIM_MODEL_NAME", "SNTYPE", "TYPE"),
    "redshift": ("REDSHIFT_HELIO", "REDSHIFT_FINAL", "HOSTGAL_SPECZ", "HOSTGAL_PHOTOZ"),
    "mwebv": ("MWEBV",),
    "ra": ("RA",),
    "dec": ("DEC", "DECL"),
    "peak_mjd": ("PEAKMJD",),
}


def sniff_head(source: Source) -> bool:
    """Tell a FITS file with HEAD in its name."""
    return (source.data or b"").startswith(MAGIC) and "HEAD" in source.name.upper()


def sniff_phot(source: Source) -> bool:
    """Tell a FITS file with PHOT in its name whose HEAD file lies beside it."""
    fits = (source.data or b"").startswith(MAGIC) and "PHOT" in source.name.upper()
    return fits and partner(source.path, "PHOT", "HEAD") is not None


def read(source: Source) -> RawTransients:
    """Read a HEAD file together with its PHOT file."""
    header, head = open_table(source.data, source.path)
    path = phot_path(source.path, header)
    _, phot = open_table(unpack(path.read_bytes()), str(path))
    first, last = (native(head[n]).astype(np.int64) for n in ("PTROBS_MIN", "PTROBS_MAX"))
    if np.any(first < 1) or np.any(last > len(phot)) or np.any(last < first - 1):
        raise FileError(f"PTROBS_MIN and PTROBS_MAX point outside the {len(phot)} rows of {path}")
    rows, offsets = pieces(first - 1, last)
    names = phot.columns.names
    band = next((n for n in ("BAND", "FLT") if n in names), None)
    missing = [n for n in ("MJD", "FLUXCAL", "FLUXCALERR") if n not in names]
    if missing or band is None:
        raise FileError(f"{path} lacks {', '.join(missing) or 'BAND'}")
    zero = ZERO_POINT if source.zero_point is None else source.zero_point
    flux, fluxerr = to_fluxcal(native(phot["FLUXCAL"]), native(phot["FLUXCALERR"]), zero)
    letters = pa.array([str(b).strip() for b in phot[band][rows]])
    raw = RawTransients(
        native(phot["MJD"])[rows].astype(np.float64),
        band_codes(letters, source._replace(path=str(path)), band, header["SURVEY"]),
        narrow(flux[rows]),
        narrow(fluxerr[rows]),
        offsets,
        pa.table(facts(head, header, source)),
        np.zeros(len(rows), np.uint8),
    )
    return with_trigger(raw, native(phot["PHOTFLAG"])[rows]) if "PHOTFLAG" in names else raw


def read_phot(source: Source) -> RawTransients:
    """Return no curves: the file is read together with its HEAD file."""
    return empty(f"{Path(source.path).name}: read with the HEAD file beside it")


def open_table(data: bytes, path: str) -> tuple[dict[str, str], Any]:
    """Return what the headers say of NAMED, "" where nothing, and the first table of a FITS file.

    Raises UserError without astropy, FileError for a file that is none.
    """
    try:
        from astropy.io import fits
    except ImportError as error:
        raise UserError(f"{path}: FITS files need astropy: pip install -e '.[fits]'") from error
    try:
        memory = io.BytesIO(data)
        with warnings.catch_warnings(action="ignore"), fits.open(memory, memmap=False) as units:
            header = units[0].header + units[1].header
            return {name: str(header.get(name, "")).strip() for name in NAMED}, units[1].data
    except Exception as error:  # astropy raises whatever its layers raise
        reason = f"{type(error).__name__}: {one_line(error, 150)}"
        raise FileError(f"broken FITS file {Path(path).name}: {reason}") from error


def phot_path(path: str, header: Mapping[str, str]) -> Path:
    """Return the PHOT file that a HEAD file names, or that is named like it."""
    named = header["PHOTFILE"]
    folder = Path(path).parent
    found = [folder / (named + end) for end in ("", ".gz")] if named else []
    by_name = partner(path, "HEAD", "PHOT")
    for candidate in [*found, *([by_name] if by_name else [])]:
        if candidate.is_file():
            return candidate
    raise FileError(f"no PHOT file beside it (PHOTFILE={named or 'not in the header'})")


def partner(path: str, mine: str, other: str) -> Path | None:
    """Return the file beside whose name has the other of HEAD and PHOT, packed or not."""
    name = Path(path).name
    place = name.upper().rfind(mine)
    bare = (name[:place] + other + name[place + 4 :]).removesuffix(".gz")
    found = (Path(path).with_name(bare + end) for end in ("", ".gz"))
    return next((p for p in found if place >= 0 and p.is_file()), None)


def native(values: np.ndarray) -> np.ndarray:
    """Return numbers in the byte order of this machine."""
    return np.asarray(values).astype(np.asarray(values).dtype.newbyteorder("="))


def pieces(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows first .. last - 1 of each curve one after the other, and the offsets."""
    ends = np.stack([first, last], axis=1).ravel()
    return flat_index(ends, np.arange(len(first)) * 2)


def facts(head: Any, header: Mapping[str, str], source: Source) -> dict[str, pa.Array]:
    """Return what HEAD says of the objects, by our names, [N] each."""
    names = head.columns.names
    columns = dict(COLUMNS)
    for role, name in source.columns.items():
        if role in TRANSIENT and name:
            if name not in names:
                raise UserError(
                    f"{source.path}: no column '{name}' for {role}{suggest(name, names)}"
                )
            columns[role] = (name,)
    ids = pa.array([str(v).strip() for v in head["SNID"]])
    survey = header["SURVEY"] or None
    found = {"id": whole_text(ids), "survey": pa.array([survey] * len(ids), pa.string())}
    for role, choices in columns.items():
        name = next((n for n in choices if n in names), None)
        if name is not None:
            found[role] = column(head[name], text=role in ("label", "star"))
    return found


def column(values: np.ndarray, text: bool) -> pa.Array:
    """Return a column of HEAD: text without blanks around it, or numbers."""
    if text:
        return pa.array([str(v).strip() or None for v in values], pa.string())
    return pa.array(native(values).astype(np.float64), from_pandas=True)


FORMATS = (
    Format("snana", sniff_head, read),
    Format("snana", sniff_phot, read_phot, beside=True),
)
