"""Work units of a catalogue: pieces of its files, and the record that each leaves when done.

A folder of embeddings holds `<unit>.parquet`, which any reader of Parquet takes as one table, and
beside it, in folders that such readers pass over, `_manifest/<unit>.json` (written last: a unit is
done when its record is there), `_quarantine/<unit>.csv` and `_settings.json`.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from glob import escape
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from astro_jax.data.pieces import row_schema
from astro_jax.data.read import find_files
from astro_jax.data.table import is_list
from astro_jax.errors import UserError
from astro_jax.workdir import differences, read_json, write_text

ENDS = 2**20  # bytes at either end of an input file that are hashed
TOGETHER = 2**24  # bytes of files without rows (text) that are one unit: in memory ten times that


class Part(NamedTuple):
    """What a unit reads of a file: the row groups first .. last - 1, or all (None)."""

    path: str
    name: str  # below the folder of the catalogue, so that it may be mounted elsewhere
    groups: tuple[int, int] | None


class Unit(NamedTuple):
    """A piece of work: its name follows from its parts. rows: in its input, None if unknown."""

    name: str
    parts: tuple[Part, ...]
    rows: int | None


def plan(path: str, rows_a_unit: int) -> list[Unit]:
    """Return the units of a file, a glob or a folder, in order; the same ones at each call.

    Parquet files with an object a row are cut between row groups into pieces of at most
    `rows_a_unit` rows (or one row group); other files are read whole, small ones together.
    """
    files = find_files(path)
    root = path if Path(path).is_dir() else os.path.commonpath([str(Path(f).parent) for f in files])
    units, small, size = [], [], 0
    for file in files:
        name = Path(os.path.relpath(file, root)).as_posix()
        if row_schema(file) is not None:
            units += row_units(file, name, rows_a_unit)
            continue
        size += os.path.getsize(file)
        if small and size > TOGETHER:
            units.append(unit_of(small, None))
            small, size = [], os.path.getsize(file)
        small.append(Part(file, name, None))
    return [*units, *([unit_of(small, None)] if small else [])]


def row_units(path: str, name: str, rows_a_unit: int) -> Iterator[Unit]:
    """Yield the units of a Parquet file with an object a row."""
    with pq.ParquetFile(path) as file:
        rows = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
        known = not any(map(may_hold_bands, file.schema_arrow.types))
    first = 0
    while first < len(rows):
        last = first + 1
        while last < len(rows) and sum(rows[first : last + 1]) <= rows_a_unit:
            last += 1
        count = sum(rows[first:last])
        yield unit_of([Part(path, name, (first, last))], count if known else None)
        first = last


def may_hold_bands(kind: pa.DataType) -> bool:
    """Tell lists of anything but measurements: where they are bands, a row becomes one a band."""
    if pa.types.is_struct(kind):
        return any(may_hold_bands(field.type) for field in kind)
    if not is_list(kind):
        return False
    inner = kind.value_type
    leaves = [field.type for field in inner] if pa.types.is_struct(inner) else [inner]
    return not all(map(pa.types.is_floating, leaves))


def unit_of(parts: list[Part], rows: int | None) -> Unit:
    """Return the unit of parts, with a name from the first file and a hash of all of them."""
    told = hashlib.blake2b(repr([(p.name, p.groups) for p in parts]).encode(), digest_size=5)
    stem = re.sub(r"[^\w.-]", "-", Path(parts[0].name).stem, flags=re.ASCII)[:60].strip(".")
    return Unit(f"{stem or 'unit'}-{told.hexdigest()}".lstrip("_"), tuple(parts), rows)


def shard(word: str) -> tuple[int, int]:
    """Return number and count of "i/N", numbered from 0; "" is the whole, 0/1."""
    found = re.fullmatch(r"(\d+)/(\d+)", word or "0/1")
    if found is None or int(found[1]) >= int(found[2]):
        raise UserError(
            f"config.shard '{word}' is none; give i/N with i from 0 to N - 1, as in "
            "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT with --array=0-63"
        )
    return int(found[1]), int(found[2])


def claim_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of a new folder; refuse one of other settings, or of other files."""
    path = folder / "_settings.json"
    if path.exists():
        found = differences(read_json(path), settings)
        if found:
            raise UserError(
                f"{folder} holds embeddings made otherwise ({'; '.join(found)}); give the same "
                "config and run, or another --config.output"
            )
        return
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--config.output={folder} is no folder; name a folder or x.parquet")
    theirs = [p.name for p in folder.iterdir() if p.name[0] not in "._"] if folder.exists() else []
    if theirs:
        raise UserError(
            f"--config.output={folder} holds other files ({', '.join(sorted(theirs)[:3])} ...); "
            "name a new folder, or a file x.parquet"
        )
    write_text(path, json.dumps(settings, indent=1, sort_keys=True) + "\n")


def check_apart(source: str, folder: Path) -> None:
    """Raise UserError for an output inside of the input, which would be read at the next start."""
    if folder.resolve().is_relative_to(Path(source).resolve()):
        raise UserError(
            f"--config.output={folder} lies in --config.data.path={source}; choose another"
        )


def fingerprint(path: str | Path) -> dict[str, Any]:
    """Return the size of a file and the SHA-256 of its first and last MiB.

    The last holds the footer of a Parquet file, with sizes and extrema of all its columns.  A
    change in the middle of a larger file that keeps all these is not seen.
    """
    size, told = os.path.getsize(path), hashlib.sha256()
    with open(path, "rb") as file:
        told.update(file.read(ENDS))
        file.seek(max(ENDS, size - ENDS))
        told.update(file.read())
    return {"size": size, "sha256": told.hexdigest()}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inputs(unit: Unit) -> list[dict[str, Any]]:
    """Return what a record says of the files that a unit reads."""
    return [
        {"file": p.name, "groups": list(p.groups) if p.groups else None, **fingerprint(p.path)}
        for p in unit.parts
    ]


def manifest(folder: Path, unit: str) -> Path:
    """Return the path of the record of a unit."""
    return folder / "_manifest" / f"{unit}.json"


def is_done(folder: Path, unit: Unit, settings: Mapping[str, Any]) -> bool:
    """Say whether a unit is there, whole: its record, and the output of which that tells.

    Raises UserError where it was made of another input, run or config. A damaged one is said and
    counts as not done.
    """
    path = manifest(folder, unit.name)
    if not path.exists():
        return False
    try:
        record = read_json(path)
        made, of = record["settings"], record["inputs"]
        output, told = record["output"], record["sha256"]
    except (UserError, KeyError) as error:
        logging.warning("%s is damaged (%s); its unit is done again", path, error)
        return False
    remove = f"remove {path} to embed it anew"
    if made != digest(settings):
        raise UserError(f"{path}: this unit was made with another run or config; {remove}")
    if of != inputs(unit):
        names = ", ".join(p.name for p in unit.parts[:3])
        raise UserError(f"{path}: {names} changed since this unit was made; {remove}")
    if output and (not (folder / output).is_file() or sha256(folder / output) != told):
        logging.warning("%s is not what was written; it is done again", folder / output)
        return False
    return True


def digest(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 of settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def sweep(folder: Path, names: Collection[str]) -> None:
    """Remove the temporary files that killed processes left of the units `names`."""
    for place in (folder, folder / "_manifest", folder / "_quarantine"):
        for entry in os.scandir(place) if place.is_dir() else ():
            found = re.fullmatch(r"\.?(.+)\.(parquet|json|csv)\.\d+\.tmp", entry.name)
            if found and found[1] in names:
                Path(entry.path).unlink(missing_ok=True)


def sweep_file(path: Path) -> None:
    """Remove the temporary files of an output whose processes are gone."""
    for name in (f".{path.name}", path.name):
        for left in path.parent.glob(f"{escape(name)}.*.tmp"):
            found = re.fullmatch(r"(\d+)\.tmp", left.name.removeprefix(f"{name}."))
            if found and not is_running(int(found[1])):
                left.unlink(missing_ok=True)


def is_running(process: int) -> bool:
    """Say whether there is a process of that number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True
