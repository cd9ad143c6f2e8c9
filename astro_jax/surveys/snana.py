"""SNANA text: one supernova a file, `KEY: value` lines, then `OBS:` lines under a `VARLIST:`.

Fluxes are FLUXCAL (zero point 27.5); MJD; the letters of the bands are those of `SURVEY`. A value
may carry an error and a remark, as in `REDSHIFT_FINAL: 0.0130 +- 0.005 (SPEC-Z, HELIO)`. Missing
numbers are -9 or -99, missing names NA, UNKNOWN or NULL. A non-zero FLAG marks a bad point; the bit
2048 of PHOTFLAG the trigger. Sources: the SNANA manual, section 4; YSE DR1 (Aleo et al. 2023 ApJS
266 9); SNPCC (Kessler et al. 2010).
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from astro_jax.data.clean import QUALITY, FileError, flag_first
from astro_jax.data.transient_rules import RawTransients, to_fluxcal
from astro_jax.data.transients import ZERO_POINT
from astro_jax.errors import UserError, suggest
from astro_jax.surveys.fluxes import band_codes, group_fluxes
from astro_jax.surveys.roles import TRANSIENT
from astro_jax.surveys.source import Format, Source
from astro_jax.surveys.values import first_flag, numbers, whole_text

# Keys of the header, the first that says something: ours for the roles, theirs for the values.
KEYS = {
    "label": ("SPEC_CLASS", "SIM_TYPE_NAME", "SIM_COMMENT"),
    "redshift": ("REDSHIFT_FINAL", "REDSHIFT_HELIO", "REDSHIFT_CMB"),
    "mwebv": ("MWEBV",),
    "ra": ("RA",),
    "dec": ("DECL", "DEC"),
    "peak_mjd": ("SEARCH_PEAKMJD", "PEAKMJD", "SIM_PEAKMJD"),
}
NOTHING = {"", "NA", "N/A", "NULL", "NONE", "UNKNOWN", "X"}
KINDS = (("spec", "SPEC"), ("host", "HOST"), ("photo", "PHOT"))
NEEDED = ("MJD", "FLUXCAL", "FLUXCALERR")


def sniff(source: Source) -> bool:
    """Tell by the keys SURVEY, SNID and VARLIST (or VARNAMES) at the start of lines."""
    text = (source.data or b"").decode("utf-8", "replace")
    return all(re.search(rf"^{key}:", text, re.MULTILINE) for key in ("SNID", "(VARLIST|VARNAMES)"))


def read(source: Source) -> RawTransients:
    """Read one file of one supernova."""
    header, names, rows = parse(source.data.decode("utf-8", "replace").split("\n"))
    band_name = next((n for n in ("FLT", "BAND") if n in names), None)
    missing = [n for n in NEEDED if n not in names] + ([] if band_name else ["FLT"])
    if missing:
        raise FileError(f"VARLIST lacks {', '.join(missing)}")
    broken = np.array([len(row) != len(names) for row in rows], bool)
    cells = [(row + [""] * len(names))[: len(names)] for row in rows]
    columns = dict(zip(names, zip(*cells, strict=True), strict=True)) if rows else {}
    if not columns:
        raise FileError("no OBS lines")
    (time, bad_time), (flux, bad), (fluxerr, _) = (number(columns[n]) for n in NEEDED)
    zero = ZERO_POINT if source.zero_point is None else source.zero_point
    flag = flag_first(first_flag(broken, bad_time, bad), (QUALITY, bad_points(columns, len(rows))))
    band = band_codes(pa.array(columns[band_name]), source, band_name, header.get("SURVEY"))
    count = len(time)
    return group_fluxes(
        whole_text(pa.array([header["SNID"]] * count)),
        time,
        band,
        (*to_fluxcal(flux, fluxerr, zero), flag),
        {name: repeat(value, count) for name, value in facts(header, source).items()},
        photflag=number(columns["PHOTFLAG"])[0] if "PHOTFLAG" in columns else None,
    )


def parse(lines: Iterable[str]) -> tuple[dict[str, str], list[str], list[list[str]]]:
    """Return the header, the names of the columns and the cells of the OBS lines."""
    header: dict[str, str] = {}
    names: list[str] = []
    rows: list[list[str]] = []
    for line in lines:
        key, colon, value = line.partition(":")
        if not colon or line.startswith("#"):
            continue
        key = key.strip()
        if key == "OBS":
            rows.append(value.split())
        elif key in ("VARLIST", "VARNAMES"):
            names = value.split()
        else:
            header.setdefault(key, value.split("#")[0].strip())
    return header, names, rows


def number(cells: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return cells of text as numbers and their flags."""
    return numbers(pa.array(list(cells), pa.string()))


def bad_points(columns: Mapping[str, Iterable[str]], count: int) -> np.ndarray:
    """Return where FLAG, decimal or hexadecimal, is not zero, [M] bool."""
    cells = columns.get("FLAG", ["0"] * count)
    return np.array([re.fullmatch(r"(0x)?0*", cell) is None for cell in cells], bool)


def repeat(value: str | float | None, count: int) -> pa.Array:
    """Return one value as a column."""
    kind = pa.string() if isinstance(value, str) or value is None else pa.float64()
    return pa.array([value] * count, kind)


def facts(header: Mapping[str, str], source: Source) -> dict[str, str | float | None]:
    """Return what the header says of the object, by our names; None where it says nothing.

    Raises UserError for a key that the user named and that the header lacks.
    """
    keys = dict(KEYS)
    for role, name in source.columns.items():
        if role in TRANSIENT and name and role != "id":
            if name not in header:
                raise UserError(f"{source.path}: no key '{name}' for {role}{suggest(name, header)}")
            keys[role] = (name,)
    found: dict[str, str | float | None] = {"survey": header.get("SURVEY")}
    for role, names in keys.items():
        value = next((header[n] for n in names if said(header.get(n), role)), None)
        found[role] = label(value) if role == "label" else first_number(value)
        if role == "redshift":
            found["redshift_kind"] = kind(value)
    return found


def said(value: str | None, role: str) -> bool:
    """Tell whether a value of the header says anything."""
    if value is None or value.strip().upper() in NOTHING:
        return False
    start = first_number(value)
    if role == "redshift":
        return start is not None and start > 0
    return role != "mwebv" or (start is not None and start >= 0)


def first_number(value: str | None) -> float | None:
    """Return the number with which a value begins."""
    match = re.match(r"\s*([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)", value or "")
    return float(match[1]) if match else None


def label(value: str | None) -> str | None:
    """Return the type; SNPCC writes `SN Type = II , MODEL = ...` into a comment."""
    match = re.search(r"SN Type = (\S+)", value or "")
    return f"SN {match[1]}" if match else value


def kind(value: str | None) -> str | None:
    """Return whether a redshift is of the spectrum, the host or photometric: its remark says it."""
    remark = re.search(r"\((.*)\)", value or "")
    return next((k for k, word in KINDS if remark and word in remark[1].upper()), None)


FORMATS = (Format("snana", sniff, read),)
