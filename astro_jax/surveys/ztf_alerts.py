"""ZTF: alert photometry in CSV as brokers export it, and the tables of the forced photometry.

Alerts: objectId or oid (or the file's name), jd or mjd, fid (1, 2, 3 = g, r, i), magpsf, sigmapsf,
isdiffpos; a row without magpsf is an upper limit. Difference magnitudes are AB; where isdiffpos is
f, 0 or -1 the reference is brighter and the flux is negative. Files named after their object with
the columns time, mag, magerr, band (ANTARES, times in MJD) are read too.
Forced photometry (Masci et al. 2023, arXiv 2305.16279): jd, filter, forcediffimflux and its error
in units of the image, whose AB zero point is zpdiff; epochs with infobitssci of 2^25 and more are
bad. The baseline correction that its guide recommends is not made.
`bts.csv` in the folder or the one above, the table of the Bright Transient Survey (ZTFID, type,
redshift, A_V), gives label, redshift and E(B-V) = A_V / 3.1.
"""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astro_jax.data.clean import LIMIT, OK, QUALITY, FileError, flag_first
from astro_jax.data.transient_rules import RawTransients, magnitudes_to_fluxcal, to_fluxcal
from astro_jax.surveys.fluxes import (
    band_codes,
    beside,
    empty,
    group_fluxes,
)
from astro_jax.surveys.generic import as_text
from astro_jax.surveys.origin import to_mjd
from astro_jax.surveys.source import Format, Lines, Source, split_lines, text, unpack
from astro_jax.surveys.values import first_flag, ids, numbers

ZTF_NAME = r"ZTF\d{2}[a-z]{7}"
BAD_IMAGE = 2**25  # infobitssci: the guide's limit for usable epochs
TABLE = "bts.csv"
R_V = 3.1
NEGATIVE = ("f", "false", "0", "-1", "-1.0", "0.0")


def names_of(source: Source) -> set[str]:
    """Return the column names of the first line that is no comment."""
    lines = (s for s in source.head.split("\n") if s.strip() and not s.startswith("#"))
    return {name.strip().lower() for name in next(lines, "").split(",")}


def sniff_alerts(source: Source) -> bool:
    """Tell by magpsf and fid, or by an object's name and the columns time, mag, magerr, band."""
    names = names_of(source)
    named = re.fullmatch(ZTF_NAME, source.stem) and names >= {"time", "mag", "magerr", "band"}
    return names >= {"magpsf", "sigmapsf", "fid"} or bool(named)


def read_alerts(source: Source) -> RawTransients:
    """Read alert photometry of one object or of many."""
    lines = split_lines(source.data, ",")
    names = [n.lower() for n in lines.names]

    def pick(*choices: str) -> str | None:
        return next((c for c in choices if c in names), None)

    clock = pick("jd", "mjd", "time")
    if clock is None:
        raise FileError(f"no column of times (jd, mjd or time) among {', '.join(names)[:200]}")
    time, bad_time = numbers(lines.column(clock))
    origin = "jd" if "jd" in names else "mjd"
    time, _ = to_mjd(time, f"{source.path}, {origin}", (origin,), source.time_format)
    (mag, bad_mag), (magerr, _) = (
        numbers(lines.column(pick(*c))) for c in (("magpsf", "mag"), ("sigmapsf", "magerr"))
    )
    flag = first_flag(lines.broken, bad_time, bad_mag)
    flag = flag_first(flag, (LIMIT, np.isnan(mag) & (bad_mag == OK)))
    flux, fluxerr = magnitudes_to_fluxcal(mag, magerr)
    if pick("isdiffpos"):
        sign = pc.utf8_lower(as_text(lines.column("isdiffpos")))
        flux = np.where(pc.is_in(sign, pa.array(NEGATIVE)), -flux, flux)
    band = pick("fid", "band")
    codes = band_codes(lines.column(band).combine_chunks(), source, band, "ztf")
    key = pick("objectid", "oid", "object_id", "id")
    id = ids(lines.column(key)) if key else pa.array([source.stem] * len(time))
    return finish(source, id, time, codes, (flux, fluxerr, flag))


def sniff_forced(source: Source) -> bool:
    """Tell by the columns forcediffimflux and zpdiff."""
    return "forcediffimflux," in source.data[:20000].decode("utf-8", "replace") and (
        "zpdiff" in source.data[:20000].decode("utf-8", "replace")
    )


def read_forced(source: Source) -> RawTransients:
    """Read a table of the forced photometry service: one position, named after the file."""
    lines = forced_lines(source.data)
    (jd, bad_time), (flux, bad), (fluxerr, _), (zero, _), (bits, _) = (
        numbers(lines.column(n))
        for n in ("jd", "forcediffimflux", "forcediffimfluxunc", "zpdiff", "infobitssci")
    )
    time, _ = to_mjd(jd, f"{source.path}, jd", ("jd",), source.time_format)
    flag = first_flag(lines.broken, bad_time, bad)
    flag = flag_first(flag, (QUALITY, bits >= BAD_IMAGE))
    zero = zero if source.zero_point is None else source.zero_point
    codes = band_codes(lines.column("filter").combine_chunks(), source, "filter", "ztf")
    name = re.search(ZTF_NAME, source.stem)
    id = pa.array([name[0] if name else source.stem] * len(time))
    return finish(source, id, time, codes, (*to_fluxcal(flux, fluxerr, zero), flag))


def forced_lines(data: bytes) -> Lines:
    """Split a table whose header has commas and whose rows have blanks."""
    rows = [s for s in data.decode("utf-8", "replace").split("\n") if s.strip()]
    rows = [s for s in rows if not s.startswith("#")]
    rows[0] = " ".join(rows[0].replace(",", " ").split())
    return split_lines("\n".join(rows).encode())


def finish(source: Source, id: pa.Array, time, codes, brightness) -> RawTransients:
    """Return the transients, with what the table of the survey says of them."""
    path = table_path(source.path)
    known = survey_table(str(path), path.stat().st_mtime_ns) if path else None
    return group_fluxes(id, time, codes, brightness, beside(known, id) if known else {})


def table_path(path: str) -> Path | None:
    """Return the table of the Bright Transient Survey in the folder or the one above."""
    folder = Path(path).parent
    found = (folder / TABLE, folder.parent / TABLE)
    return next((p for p in found if p.is_file()), None)


@lru_cache(maxsize=2)
def survey_table(path: str, changed: int) -> dict[str, pa.Array] | None:
    """Return label, redshift and E(B-V) of the table's objects; None where it is another table.

    changed: its time of change, so that a new file is read again
    """
    del changed
    lines = split_lines(text(unpack(Path(path).read_bytes())), ",")
    names = [n.lower() for n in lines.names]
    if not {"ztfid", "type", "redshift"} <= set(names):
        return None
    found = {"id": as_text(lines.column("ZTFID")), "label": as_text(lines.column("type"))}
    found["redshift"] = pa.array(numbers(lines.column("redshift"))[0], from_pandas=True)
    if "a_v" in names:
        found["mwebv"] = pa.array(numbers(lines.column("A_V"))[0] / R_V, from_pandas=True)
    return found


def sniff_table(source: Source) -> bool:
    """Tell the table of the survey by its columns."""
    return names_of(source) >= {"ztfid", "type", "redshift"}


def read_survey_table(source: Source) -> RawTransients:
    """Return no curves: the table is read together with the light curves."""
    return empty(f"{Path(source.path).name}: read with the light curves near it")


FORMATS = (
    Format("ztf", sniff_alerts, read_alerts),
    Format("ztf_forced", sniff_forced, read_forced),
    Format("ztf", sniff_table, read_survey_table, beside=True),
)
