"""The one way into transients: files of any known format, or a table -> curves and their account.

As `data.read` for light curves of one band, with the rules of `data.transient_rules`.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from astro_jax.data.clean import FileError
from astro_jax.data.ledger import Ledger, opening
from astro_jax.data.read import (
    Choice,
    as_bands,
    find_files,
    load,
    nothing_usable,
    read_files,
    read_named,
    read_sniffed,
)
from astro_jax.data.rows import join, quarantine_rows
from astro_jax.data.transient_rules import RawTransients, clean_transients
from astro_jax.data.transient_table import read_table
from astro_jax.data.transients import Transients, cut_snr, keep_observations
from astro_jax.errors import UserError, one_line, suggest
from astro_jax.passbands import MISSING, SURVEYS, resolve, survey_name
from astro_jax.surveys.origin import offset
from astro_jax.surveys.snana_fits import MAGIC
from astro_jax.surveys.source import Source, unpack
from astro_jax.surveys.transient_formats import NAMES, TRANSIENTS


def read_transients(
    path: str | Path | pa.Table,
    *,
    format: str | None = None,
    survey: str | None = None,
    zero_point: float | None = None,
    band: str | Sequence[str] | None = None,
    snr: float = 0.0,
    time_format: str | None = None,
    columns: Mapping[str, str] | None = None,
    every_row: bool = False,
) -> tuple[Transients, Ledger]:
    """Read a file, a glob, a folder or a table in memory into clean transients and their account.

    format: a name of `transient_formats.NAMES`, else each file is recognised on its own
    survey: whose letters the bands are (a key of `passbands.SURVEYS`), over what the file says: its
        format, or its column `survey`
    zero_point: AB magnitude of flux 1, where it is not 27.5 and the file does not say
    band: names of passbands to keep; bands that are not chosen need not be known
    snr: keep points of S/N above it only, as alert photometry does; 0: forced photometry as it is
    time_format: origin of the times (`origin.OFFSETS`); columns: role -> column, by hand
    every_row: keep objects without a usable observation, as empty curves, and rows whose key is
        unknown or repeated: to say something of every row
    Raises UserError where nothing matches the path, a choice names what is not there, a band is
    unknown, fluxes look like magnitudes, or nothing usable remains.
    """
    source = _choices(format, survey, zero_point, band, time_format, columns)
    if isinstance(path, pa.Table):
        where, (raws, files, lost, notes) = "table", read_in_memory(path, source)
    else:
        where = os.fsdecode(path)
        raws, files, lost, notes = read_files(
            find_files(where), lambda p: read_file(p, source, format)
        )
    if not raws:
        raise UserError(nothing_usable(where, lost))
    raw, origin = join(raws, files)
    lost = [*lost, *raw.lost]
    ledger = opening(len(raw) + sum(r.objects for r in lost), len(raw.time))
    ledger = ledger.note(*notes, *raw.notes).quarantine(lost)
    raw, origin, ledger = select_bands(raw, origin, ledger, source.bands, every_row)
    if not every_row:
        raw, origin, rows = quarantine_rows(raw, origin)
        ledger = ledger.quarantine(rows)
    transients, rows, remarks = clean_transients(raw, origin, every_row)
    ledger = ledger.quarantine(rows).note(*remarks)
    if not len(transients.time):
        raise UserError(nothing_usable(where, ledger.rows))
    return cut_snr(transients, ledger, snr, every_row)


def _choices(format, survey, zero_point, band, time_format, columns) -> Source:
    """Check what the user said; return it as a source without a file."""
    if format and format not in NAMES:
        raise UserError(f"unknown format '{format}'{suggest(format, NAMES)}")
    if survey and survey_name(survey) not in SURVEYS:
        raise UserError(f"unknown survey '{survey}'{suggest(survey, SURVEYS)}")
    if time_format:
        offset(time_format)
    bands = tuple(as_bands(band))
    resolve(bands, survey, "band")
    zero_point = None if zero_point in (None, "") else float(zero_point)
    given = {role: name for role, name in dict(columns or {}).items() if name}
    return Source("", None, given, time_format or None, survey or None, zero_point, bands)


def read_file(path: str, said: Source, format: str | None) -> tuple[str, RawTransients]:
    """Return the name of the format of a file and its transients."""
    source = said._replace(path=path, data=read_bytes(path, said))
    if format:
        return format, read_named(source, format, TRANSIENTS)
    return read_sniffed(source, TRANSIENTS)


def read_bytes(path: str, said: Source) -> bytes | None:
    """Return the bytes of a file unpacked, text as UTF-8; None for Parquet, read by its path."""
    with open(path, "rb") as file:
        head = file.read(len(MAGIC))
        if head == MAGIC or (head[:2] == b"\x1f\x8b" and ".fits" in path.lower()):
            return unpack(head + file.read())
    return load(path, Choice(None, said.time_format, said.columns)).data


def read_in_memory(table: pa.Table, said: Source) -> tuple:
    """Return what `read_files` does, for one table in memory."""
    try:
        return [read_table(table, said._replace(path="table"))], ["table"], [], []
    except FileError as error:
        raise UserError(f"table: {one_line(error)}") from error


def select_bands(
    raw: RawTransients,
    files: np.ndarray,
    ledger: Ledger,
    bands: Sequence[str],
    every_row: bool = False,
) -> tuple[RawTransients, np.ndarray, Ledger]:
    """Leave out observations in other bands; they and objects without others are filtered.

    Those without a band stay for the quarantine.
    """
    if not bands:
        return raw, files, ledger
    keep = np.isin(raw.band, [*resolve(bands, where="band"), MISSING])
    alive = (np.bincount(raw.curve[keep], minlength=len(raw)) > 0) | every_row
    reason = f"band is not {', '.join(bands)}"
    raw, ledger = keep_observations(raw, ledger, keep, reason, every_row)
    return raw, files[alive] if len(raw) < len(files) else files, ledger
