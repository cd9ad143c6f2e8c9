"""The one way into a survey: a file, a glob or a folder of any known format -> curves and account.

Every run and `convert` read through here, so that all formats obey the same rules (`clean`).
"""

import csv
import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astro_jax.data.advice import advice
from astro_jax.data.clean import FileError, Raw, clean
from astro_jax.data.curves import Curves
from astro_jax.data.ledger import Ledger, Quarantined, opening
from astro_jax.data.rows import filter_rows, join, quarantine_rows
from astro_jax.errors import UserError, one_line, suggest
from astro_jax.surveys import astromer
from astro_jax.surveys.formats import BINARY, NAMED, NAMES, TEXT
from astro_jax.surveys.origin import offset
from astro_jax.surveys.source import Format, Source, text, unpack

PARQUET = (".parquet", ".pq")
OURS = ".quarantine.csv"
UNREADABLE = (FileError, OSError, EOFError, ValueError, csv.Error, pa.ArrowException)


class Choice(NamedTuple):
    """What the user said about a survey."""

    format: str | None
    time_format: str | None
    columns: Mapping[str, str]


def read_survey(
    path: str,
    *,
    format: str | None = None,
    band: str | Sequence[str] | None = None,
    fields: Sequence | None = None,
    time_format: str | None = None,
    columns: Mapping[str, str] | None = None,
    every_row: bool = False,
) -> tuple[Curves, Ledger]:
    """Read one file, a glob or a folder (with all below it) into clean curves, and their account.

    format: a name of `formats.NAMES`, else each file is recognised on its own
    band: band or bands to keep; fields: MACHO fields to keep, the first number of an id
    time_format: origin of the times (`origin.OFFSETS`); columns: role -> column, by hand
    every_row: keep rows without a usable observation, as empty curves, and rows whose key is
        unknown or repeated: to say something of every row
    Raises UserError where nothing matches the path, a choice names what is not there, the origin
    of times is open, or nothing usable remains.
    """
    path = os.fsdecode(path)
    choice = chosen(format, time_format, columns)
    curves, ledger = read_paths(find_files(path), choice, band, fields, every_row)
    if not len(curves.time):
        raise UserError(nothing_usable(path, ledger.rows))
    return curves, ledger


def chosen(
    format: str | None, time_format: str | None, columns: Mapping[str, str] | None
) -> Choice:
    """Return what the user said about a survey; UserError for an unknown format or origin."""
    if format and format not in NAMES:
        raise UserError(f"unknown format '{format}'{suggest(format, NAMES)}")
    if time_format:
        offset(time_format)
    return Choice(format or None, time_format or None, dict(columns or {}))


def read_paths(
    paths: Sequence[str],
    choice: Choice,
    band: str | Sequence[str] | None = None,
    fields: Sequence | None = None,
    every_row: bool = False,
) -> tuple[Curves, Ledger]:
    """Do what `read_survey` does for a list of files; no curves where nothing is usable."""
    raws, files, lost, notes = read_files(paths, lambda p: read_source(load(p, choice), choice))
    if not raws:
        return no_curves(), opening(len(lost), 0).quarantine(lost)
    raw, origin = join(raws, files)
    lost += raw.lost
    ledger = opening(len(raw) + sum(r.objects for r in lost), len(raw.time))
    ledger = ledger.note(*notes, *raw.notes).quarantine(lost)
    raw, origin, ledger = select(raw, origin, ledger, as_bands(band), fields)
    if not every_row:
        raw, origin, rows = quarantine_rows(raw, origin)
        ledger = ledger.quarantine(rows)
    return cleaned(raw, origin, ledger, every_row)


def no_curves() -> Curves:
    """Return a survey without a curve."""
    none = np.zeros(0, np.float32)
    return Curves(
        none.astype(float), none, none, np.zeros(1, np.int64), pa.table({"id": pa.array([])})
    )


def cleaned(
    raw: Raw, origin: np.ndarray, ledger: Ledger, every_row: bool = False
) -> tuple[Curves, Ledger]:
    """Return clean curves, and the account with what was taken out."""
    curves, rows, remarks = clean(raw, origin, every_row)
    return curves, ledger.quarantine(rows).note(*remarks)


def find_files(path: str) -> list[str]:
    """Return the files that a path stands for, sorted; hidden files and our reports left out."""
    where = Path(path)
    if where.is_dir():
        found = [p for p in sorted(where.rglob("*")) if not hidden(p.relative_to(where))]
    elif where.exists():
        return [path]
    else:
        found = [Path(p) for p in sorted(glob.glob(path, recursive=True))]
    files = [str(p) for p in found if p.is_file() and not p.name.endswith(OURS)]
    if not files:
        raise UserError(no_match(path))
    return files


def hidden(path: Path) -> bool:
    """Tell a path below a folder or file whose name starts with a dot."""
    return any(part.startswith(".") for part in path.parts)


def no_match(path: str) -> str:
    """Return the message for a path without files, with the nearest name there is."""
    where = Path(path)
    if where.is_dir():
        return f"no files in the folder '{path}'"
    parent = where.parent
    while not parent.is_dir():
        where, parent = parent, parent.parent
    there = [str(parent / p.name) for p in list(parent.iterdir())[:2000]]
    hint = suggest(str(where), there) if len(there) < 12 or glob.has_magic(path) is False else ""
    kind = "no file matches" if glob.has_magic(path) else "no such file or folder:"
    return f"{kind} '{path}'{hint if len(hint) < 400 else ''}"


def read_files(paths: Sequence[str], read: Callable[[str], tuple[str, Any]]) -> tuple:
    """Return the records of the readable files, their paths, the quarantined rest, and notes.

    read: path -> the name of the format and the record
    """
    raws, files, lost, counts = [], [], [], Counter()
    for path in paths:
        try:
            name, raw = read(path)
        except UNREADABLE as error:
            lost.append(Quarantined(path, "", "", 1, 0, one_line(error)))
            continue
        except UserError:
            raise
        except Exception as error:  # one odd file must not end the reading of a million others
            logging.exception(path)
            reason = f"unexpected layout: {type(error).__name__}: {one_line(error)}"
            lost.append(Quarantined(path, "", "", 1, 0, reason))
            continue
        counts[name] += 1
        raws.append(raw)
        files.append(path)
    notes = [f"format {name}: {n:,} file{'s' * (n > 1)}" for name, n in counts.items()]
    for note in dict.fromkeys(n for raw in raws for n in raw.notes):
        logging.info(note)
    return raws, files, lost, notes


def load(path: str, choice: Choice) -> Source:
    """Open a file: Parquet by its path only, TFRecords as bytes, all else as text."""
    with open(path, "rb") as file:
        data = file.read(4)
        if not data:
            raise FileError("empty file")
        if data == b"PAR1" or Path(path).suffix in PARQUET:
            return Source(path, None, choice.columns, choice.time_format)
        data = unpack(data + file.read())
    source = Source(path, data, choice.columns, choice.time_format)
    if b"\0" in data[:12] and astromer.sniff(source):
        return source
    return source._replace(data=text(data))


def read_source(source: Source, choice: Choice) -> tuple[str, Raw]:
    """Return the name of the format and the curves of a source."""
    if choice.format:
        name, raw = choice.format, read_named(source, choice.format, BINARY + TEXT)
    else:
        text = source.data is not None and b"\0" not in source.data[:12]
        name, raw = read_sniffed(source, TEXT if text else BINARY)
    said = [f"{role}={column}" for role, column in choice.columns.items() if column]
    if said and name not in NAMED:
        raise FileError(
            f"the columns of the format {name} are known: {', '.join(said)} cannot be chosen "
            f"(without it they are read; --config.data.format=csv takes any table)"
        )
    return name, raw


def read_sniffed(source: Source, formats: Sequence[Format]) -> tuple[str, Raw]:
    """Return the name of the first format that a source looks like, and its curves."""
    found = next((f for f in formats if f.sniff(source)), None)
    if found is None:
        raise FileError("not a light curve of a known format")
    return found.name, found.read(source)


def read_named(source: Source, name: str, formats: Sequence[Format]) -> Raw:
    """Read a source as the format the user named; of its variants the one that fits."""
    variants = [f for f in formats if f.name == name]
    if source.data is None and name not in {f.name for f in BINARY}:
        raise FileError(f"a Parquet file, not {name} text")
    fitting = [f for f in variants if f.sniff(source)]
    for variant in fitting or [f for f in variants if not f.beside]:
        try:
            return variant.read(source)
        except UNREADABLE as error:
            problem = error
    raise FileError(f"not {name}: {problem}" if not fitting else str(problem))


def as_bands(band: str | Sequence[str] | None) -> list[str]:
    """Return the chosen bands; a string may list several with commas."""
    if not band:
        return []
    return [b.strip() for b in band.split(",")] if isinstance(band, str) else [str(b) for b in band]


def select(raw: Raw, origin, ledger: Ledger, bands: list[str], fields) -> tuple:
    """Keep the chosen bands and MACHO fields; what they leave out counts as filtered."""
    if bands:
        raw, origin, ledger = filter_rows(raw, origin, ledger, in_bands(raw, bands), "other band")
    if fields is not None and len(fields):
        raw, origin, ledger = filter_rows(
            raw, origin, ledger, in_fields(raw, fields), "other field"
        )
    return raw, origin, ledger


def in_bands(raw: Raw, bands: list[str]) -> np.ndarray:
    """Return which curves are in one of the bands, [N] bool; raise UserError for an unknown one."""
    if "band" not in raw.columns.column_names:
        raise UserError(f"band '{bands[0]}' is chosen, but the survey has no column of bands")
    column = raw.columns["band"]
    there = [str(b) for b in column.unique().to_pylist() if b is not None]
    for band in bands:
        if band not in there:
            raise UserError(f"no band '{band}'; bands are {', '.join(sorted(there)[:30])}")
    return pc.is_in(column, pa.array(bands)).to_numpy(zero_copy_only=False)


def in_fields(raw: Raw, fields: Sequence) -> np.ndarray:
    """Return which curves lie in one of the MACHO fields, [N] bool."""
    try:
        wanted = [int(f) for f in fields]
    except ValueError:
        raise UserError(f"fields {list(fields)}: MACHO fields are numbers, as in 1,10") from None
    names = raw.columns["id"].cast(pa.string()).to_pylist()
    found = [re.match(r"(?:MACHO[_ ]?)?(\d+)[.\-]\d+[.\-]\d+", n or "") for n in names]
    field = [int(m[1]) if m else -1 for m in found]
    there = sorted(set(field) - {-1})
    if not there:
        raise UserError(f"fields selects MACHO fields, but ids such as '{names[0]}' name none")
    keep = np.isin(field, wanted)
    if not keep.any():
        raise UserError(
            f"no star in the fields {list(fields)}; fields are {', '.join(map(str, there[:40]))}"
        )
    return keep


def nothing_usable(path: str, rows: Sequence[Quarantined]) -> str:
    """Return the message for a survey of which nothing is left, with the commonest reason."""
    common = Counter((r.reason, r.object if len(rows) == 1 else "") for r in rows)
    if not common:
        return f"{path}: no curves"
    (reason, name), count = common.most_common(1)[0]
    example = next(r for r in rows if r.reason == reason)
    who = f" ({name[:80]})" if name else ""
    more = f" ({count:,} of {len(rows):,} problems)" if len(rows) > 1 else ""
    todo = advice(reason)
    fix = f"; {todo}" if todo else ""
    return f"nothing usable in {path}: {example.file or path}{who}: {reason}{more}{fix}"
