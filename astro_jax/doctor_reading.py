"""How `doctor` opens a survey: as training would, and where that fails, as near to it as can be.

What stops the reader becomes a finding with the reader's own words; where these name the way out
(an origin of times, columns, bands), it is taken, said, and the inspection goes on.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ml_collections import ConfigDict

from astro_jax import passbands
from astro_jax.data.clean import Raw
from astro_jax.data.curves import Curves
from astro_jax.data.ledger import Ledger, Quarantined, opening
from astro_jax.data.multimodal import Objects, Series
from astro_jax.data.multimodal import join as join_objects
from astro_jax.data.read import (
    UNREADABLE,
    Choice,
    find_files,
    load,
    one_line,
    read_files,
    read_source,
    read_survey,
)
from astro_jax.data.read_transients import read_bytes, read_file, read_transients
from astro_jax.data.rows import join
from astro_jax.data.table import is_list, unnest
from astro_jax.data.transient_rules import RawTransients
from astro_jax.data.transients import Transients
from astro_jax.errors import UserError
from astro_jax.multimodal_source import PARTS, read_splits
from astro_jax.surveys.astrom3 import is_published
from astro_jax.surveys.formats import TEXT
from astro_jax.surveys.roles import ALIASES, TRANSIENT, by_alias
from astro_jax.surveys.source import Format, Source, split_lines
from astro_jax.surveys.transient_formats import TRANSIENTS

KINDS = ("curves", "transients", "objects")
GENERIC = ("csv", "parquet")
ATTEMPTS = 4  # a way out for times, bands and columns each, and the last
LOOKED_AT = 20  # files, of which the first that can be read tells the kind
SWAPPED = 0.9  # share of the observations whose "magnitude" is below their "error"
LIKELY_ERROR = 3.0  # mag: below it lies the median of errors, and above that of magnitudes


class Finding(NamedTuple):
    """What was found: level "stop" (training would fail or be wrong), "look", or "ok"."""

    level: str
    topic: str
    text: str


class Opened(NamedTuple):
    """A survey as far as it could be read.

    kind: of KINDS; raw: as the files have it, before cleaning, None where nothing could be read, or
    of objects; data: as training would get it, None where nothing is usable; said: what had to be
    said to the reader beyond `config.data`; lost: files and objects that could not be read at all
    """

    kind: str
    raw: Raw | RawTransients | None
    data: Curves | Transients | Objects | None
    ledger: Ledger | None
    findings: tuple[Finding, ...]
    said: dict[str, Any]
    lost: tuple[Quarantined, ...] = ()


def open_survey(config: ConfigDict) -> Opened:
    """Read the survey of `config.data`; whatever is wrong with it is among the findings.

    Raises UserError where there is no such file, or the config names what is not.
    """
    data = config.data
    if not any(data[name] for name in ("path", "curves", "spectra", "catalogue")):
        raise UserError("doctor needs --config.data.path=FILE, a glob in quotes, or a folder")
    if config.kind and config.kind not in KINDS:
        raise UserError(f"config.kind '{config.kind}' is unknown: give {', '.join(KINDS)}")
    files = find_files(data.path) if data.path else []
    kind = config.kind or kind_of(config, files)
    if kind == "objects":
        return open_objects(config)
    said = {
        "format": data.format or None,
        "time_format": data.time_format or None,
        "band": data.band or None,
        "columns": {role: name for role, name in data.columns.items() if name},
    }
    if kind == "transients":
        said |= {"survey": data.survey or None, "zero_point": data.zero_point or None}
        said |= {"snr": data.snr}
    else:
        said["fields"] = tuple(data.fields) or None
    said["columns"] = {r: n for r, n in said["columns"].items() if kind == "transients"
                       or r in ALIASES}  # fmt: skip
    return open_series(kind, data.path, files, said)


def kind_of(config: ConfigDict, files: list[str]) -> str:
    """Return the kind of a survey: by the format of the first readable file, or its columns."""
    if not files or is_published(config.data.path):
        return "objects"
    for path in files[:LOOKED_AT]:
        try:
            source = Source(path, read_bytes(path, Source("", None)))
            if source.data is not None and sniffed(TEXT, source):
                return "curves"
            if source.data is not None and sniffed(TRANSIENTS, source):
                return "transients"
            names = column_names(source)
        except (*UNREADABLE, UserError):
            continue
        fluxes = all(by_alias(names, role, TRANSIENT) for role in ("band", "flux", "fluxerr"))
        return "transients" if fluxes and not by_alias(names, "mag") else "curves"
    return "curves"


def float_ids(path: str, columns: Mapping[str, str]) -> list[Finding]:
    """Return a finding where a Parquet file stores its ids as floating point."""
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return []
    name = columns.get("id") or by_alias(schema.names, "id")
    kind = schema.field(name).type if name in schema.names else None
    if kind is None or not pa.types.is_floating(kind):
        return []
    text = f"column {name} stores ids as {kind}: whole numbers above 2^53 are no longer what the "
    return [Finding("stop", "ids", f"{text}survey gave; export integers or text")]


def sniffed(formats: Sequence[Format], source: Source) -> bool:
    """Tell a file that looks like one of the formats of a survey, not any table."""
    return any(form.sniff(source) for form in formats if form.name not in GENERIC)


def column_names(source: Source) -> list[str]:
    """Return the column names of a table, those inside of nested columns too."""
    if source.data is not None:
        return list(split_lines(source.data).names)
    schema = pq.read_schema(source.path)
    empty = schema.empty_table()
    nested = any(pa.types.is_nested(f.type) and not is_list(f.type) for f in schema)
    return list((unnest(empty) if nested or any(is_list(f.type) for f in schema) else empty)
                .column_names)  # fmt: skip


def open_series(kind: str, path: str, files: list[str], said: dict[str, Any]) -> Opened:
    """Read curves or transients, taking the ways out that the reader names."""
    read = read_survey if kind == "curves" else read_transients
    findings: list[Finding] = []
    found: dict[str, Any] = {}
    given = dict(said)
    for _ in range(ATTEMPTS):
        try:
            data, ledger = read(path, **{k: v for k, v in said.items() if v or k == "columns"})
        except UserError as error:
            findings.append(Finding("stop", "reader", str(error)))
            more = way_out(str(error), said, files, kind)
            if not more:
                break
            findings.append(Finding("look", "reader", f"assumed from here on: {words_of(more)}"))
            said = merged(said, more)
            continue
        except Exception as error:  # what no reader foresaw is a finding, not the end
            findings.append(unforeseen(error))
            break
        found = {"data": data, "ledger": ledger}
        break
    raw, lost = read_raw(kind, files, said)
    if raw is None and any(".fit" in file.lower() for file in files):
        text = f"FITS files: spectra are read by --config.data.spectra={path} (without data.path)"
        findings.append(Finding("look", "kind", text))
    findings += float_ids(files[0], said["columns"])
    swap = swapped_columns(raw, found.get("ledger"), files) if kind == "curves" else {}
    if swap and not said["columns"].get("mag"):
        names = " and ".join(swap[r] for r in ("magerr", "mag"))
        text = f"the columns {names} look swapped: most 'magnitudes' are smaller than their errors"
        return swapped(path, files, merged(said, {"columns": swap}), findings, text)
    told = {k: v for k, v in said.items() if v != given.get(k)}
    return Opened(kind, raw, found.get("data"), found.get("ledger"), tuple(findings), told, lost)


def swapped(
    path: str, files: list[str], said: dict[str, Any], findings: list[Finding], text: str
) -> Opened:
    """Read curves again with magnitude and error the other way round."""
    before = [*findings, Finding("stop", "columns", text)]
    again = open_series("curves", path, files, said)
    told = {**again.said, "columns": said["columns"]}
    return again._replace(findings=(*before, *again.findings), said=told)


def merged(said: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was said with more; columns are added to those there."""
    columns = {**said.get("columns", {}), **more.get("columns", {})}
    return {**said, **more, "columns": columns}


def way_out(message: str, said: Mapping[str, Any], files: list[str], kind: str) -> dict[str, Any]:
    """Return what to tell a reader that stopped with a message; nothing where that is open."""
    origin = re.search(r"--config\.data\.time_format=(\S+)", message)
    if origin and not said.get("time_format"):
        return {"time_format": origin[1]}
    if kind == "transients" and "unknown band" in message and not said.get("band"):
        return {"band": ",".join(passbands.NAMES)}
    if kind == "transients" and "look like magnitudes" in message and files:
        names = column_names(Source(files[0], read_bytes(files[0], Source("", None))))
        roles = {r: by_alias(names, r, TRANSIENT) for r in ("flux", "fluxerr")}
        if all(roles.values()) and "mag" not in said["columns"]:
            return {"columns": {"mag": roles["flux"], "magerr": roles["fluxerr"]}}
    return {}


def words_of(said: Mapping[str, Any]) -> str:
    """Return the words for the command line that say the same to a run."""
    words = []
    for name, value in said.items():
        pairs = value.items() if isinstance(value, Mapping) else [("", value)]
        words += [f"--config.data.{name}{'.' if key else ''}{key}={v}" for key, v in pairs if v]
    return " ".join(words)


def read_raw(
    kind: str, files: list[str], said: Mapping[str, Any]
) -> tuple[Raw | RawTransients | None, tuple[Quarantined, ...]]:
    """Return all that the readable files hold, before cleaning; None where nothing can be read."""
    read = raw_reader(kind, said)
    try:
        raws, origins, lost, _ = read_files(files, read)
        return (join(raws, origins)[0] if raws else None), tuple(lost)
    except OSError:
        raise
    except Exception:  # said already when the survey was read
        return None, ()


def unforeseen(error: Exception) -> Finding:
    """Return the finding for a failure that is no message to a user; a full disk is an error."""
    if isinstance(error, OSError):
        raise error
    logging.error("reader", exc_info=error)
    return Finding(
        "stop", "reader", f"unexpected layout: {type(error).__name__}: {one_line(error)}"
    )


def raw_reader(kind: str, said: Mapping[str, Any]) -> Callable[[str], tuple[str, Any]]:
    """Return the function that reads one file, as the package's readers do."""
    form, origin, columns = (said.get(k) for k in ("format", "time_format", "columns"))
    if kind == "curves":
        choice = Choice(form, origin, columns)
        return lambda path: read_source(load(path, choice), choice)
    bands = tuple((said.get("band") or "").split(",")) if said.get("band") else ()
    source = Source("", None, columns, origin, said.get("survey"), said.get("zero_point"), bands)
    return lambda path: read_file(path, source, form)


def swapped_columns(raw: Any, ledger: Ledger | None, files: list[str]) -> dict[str, str]:
    """Return the columns of magnitude and error the other way round, where they look so."""
    if raw is None or not len(raw.mag):
        return {}
    both = np.isfinite(raw.mag) & np.isfinite(raw.magerr)
    if both.sum() < 0.5 * len(raw.mag) or not both.any():
        return {}
    mag, err = raw.mag[both], raw.magerr[both]
    likely = 0 < np.median(mag) < LIKELY_ERROR < np.median(err)
    if not likely or np.mean(mag < err) < SWAPPED:
        return {}
    notes = " ".join([*raw.notes, *(ledger.notes if ledger else ())])
    names = {r: re.search(rf"\b{r}=([^,;]+)", notes) for r in ("mag", "magerr")}
    told = {r: found[1].strip() if found else r for r, found in names.items()}
    return {"mag": told["magerr"], "magerr": told["mag"]}


def open_objects(config: ConfigDict) -> Opened:
    """Read objects in several modalities, of all parts together."""
    try:
        splits, ledger, ready = read_splits(config)
    except UserError as error:
        found = Finding("stop", "reader", str(error))
        return Opened("objects", None, None, None, (found,), {})
    except Exception as error:
        return Opened("objects", None, None, None, (unforeseen(error),), {})
    parts = [splits[name] for name in (*PARTS, "") if name in splits and len(splits[name])]
    sizes = ", ".join(f"{name or 'all'} {len(part):,}" for name, part in splits.items())
    state = "standardised already" if ready else "raw, standardised by the training part"
    findings = (Finding("ok", "parts", f"{sizes} objects; {state}"),)
    if not parts:
        return Opened("objects", None, None, ledger, findings, {})
    return Opened("objects", None, join_objects(parts), ledger, findings, {})


def account_of(opened: Opened) -> Ledger:
    """Return the account of what was read; where all was lost, that of the lost."""
    if opened.ledger is not None:
        return opened.ledger
    lost = opened.lost
    rows = 0 if opened.raw is None else len(opened.raw)
    points = 0 if opened.raw is None else int(opened.raw.offsets[-1])
    count = rows + sum(row.objects for row in lost)
    whole = opening(count, points + sum(row.observations for row in lost)).quarantine(lost)
    reason = "nothing usable: see the findings"
    return whole.quarantine([Quarantined("", "", "", rows, points, reason)]) if rows else whole


def series_of(objects: Objects) -> dict[str, Series]:
    """Return the light curves of objects by modality."""
    return {name: part for name, part in objects.parts.items() if isinstance(part, Series)}
