"""The closing report of a run: one HTML file with what it measured, showed, was told and used."""

import importlib.metadata
import json
import logging
import platform
from collections.abc import Callable, Mapping
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from astro_jax import checkpoint
from astro_jax.data.read import find_files
from astro_jax.data.source import PATHS
from astro_jax.errors import UserError, kind_and_text
from astro_jax.report_html import (
    details,
    estimate,
    facts,
    is_number,
    map_html,
    picture,
    plots_html,
    table,
    write_page,
)
from astro_jax.shown import Shown
from astro_jax.workdir import read_json

REPORT = "report.html"
PICTURES = {
    "training.png": "Training",
    "learning_curve.png": "Learning curve",
    "search.png": "Loss by what was tried",
    "confusion.png": "Confusion matrix",
    "calibration.png": "Calibration",
    "early.png": "Days since the trigger",
    "predicted.png": "Predicted against true",
    "reconstruction.png": "Reconstruction examples",
}
PACKAGES = ("astro_jax", "jax", "jaxlib", "flax", "optax", "numpy", "pyarrow", "scikit-learn")
HASHED = 2**28  # bytes of data at most that are read again for their hash: about a second
LISTED = 20  # files
WIDE = ("training.png", "learning_curve.png", "search.png", "early.png")
OWN = ("reconstruction.png",)  # a section by itself


def close_run(
    workdir: Path,
    config: ConfigDict,
    result: Mapping[str, Any],
    text: str,
    show: Callable[[], Shown | None] = lambda: None,
) -> None:
    """Write `report.html` from the files of a run, its result, and what `show` says of objects.

    text: what the run prints at its end
    A report that cannot be made is a warning with its reason, not the loss of a finished run; a
    disk that cannot be written is an error as it is for all other files.
    """
    try:
        sections = [*score_sections(result, text), *picture_sections(workdir)]
        sections += shown_or_why_not(show)
        sections += [*run_section(result), *closing_sections(workdir, config)]
        write_page(
            workdir / REPORT, f"{workdir.name}: {job_of(config)}", sections, lead(config, result)
        )
    except OSError:
        raise
    except Exception as error:
        print(f"no {REPORT}: {reason_of(error)}; the run itself is whole", flush=True)


def reason_of(error: Exception) -> str:
    """Log an error with its trace; return it as one line."""
    logging.error("the report", exc_info=error)
    return kind_and_text(error, 300)


def shown_or_why_not(show: Callable[[], Shown | None]) -> list[tuple[str, str]]:
    """Return the sections on single objects, or one that says why they could not be made."""
    try:
        return shown_sections(show())
    except OSError:
        raise
    except Exception as error:
        reason = reason_of(error)
        print(f"{REPORT} lacks its map and worst objects: {reason}", flush=True)
        told = (
            f'<p class="stop">The map and the worst objects could not be made: {escape(reason)}</p>'
        )
        return [("Objects", told)]


def job_of(config: ConfigDict) -> str:
    """Return the name of the job of a config."""
    return str(config.get("job", "run")).rpartition(".")[2].partition(":")[0].replace("_", " ")


def lead(config: ConfigDict, result: Mapping[str, Any]) -> str:
    """Return one line on the data and the size of a run."""
    words = [data_words(config)]
    objects = result.get("objects") or result.get("curves") or {}
    if isinstance(objects, Mapping) and all(isinstance(v, int) for v in objects.values()):
        words += [", ".join(f"{v:,} to {k}" for k, v in objects.items())]
    words += [f"{result['seconds']:g} s in all"] if "seconds" in result else []
    return "; ".join(word for word in words if word)


def data_words(config: ConfigDict) -> str:
    """Say where the data of a config come from."""
    data = config.get("data", {})
    paths = [data[name] for name in PATHS if data.get(name)]
    if paths:
        return f"data: {', '.join(map(str, paths))}"
    return f"simulated data, seed {config.get('seed', 0)}: no evidence about real stars"


def score_sections(result: Mapping[str, Any], text: str) -> list[tuple[str, str]]:
    """Return the scores as tables, with their intervals, and the text that the run printed."""
    printed = f"<pre>{escape(text)}</pre>"
    tables = "".join(score_tables(result))
    scores = tables + details("as printed at the end of the run", printed) if tables else printed
    sections = [("Scores", scores)]
    classes = result["model"].get("classes") if isinstance(result.get("model"), Mapping) else None
    if isinstance(classes, Mapping):
        sections.append(("Classes", table(rows_of(classes, "class"))))
    return sections


def picture_sections(workdir: Path) -> list[tuple[str, str]]:
    """Return the pictures that the run drew: the wide ones in their own row, others in pairs."""
    images = {
        name: picture((workdir / name).read_bytes(), title)
        for name, title in PICTURES.items()
        if (workdir / name).exists()
    }
    shown = "".join(
        f"<div{' class=wide' if name in WIDE else ''}><h3>{escape(PICTURES[name])}</h3>{image}"
        "</div>"
        for name, image in images.items()
        if name not in OWN
    )
    sections = [("Pictures", f'<div class="pictures">{shown}</div>')] if shown else []
    return sections + [(PICTURES[name], images[name]) for name in OWN if name in images]


def run_section(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a result says beside its scores."""
    plain = {
        name.replace("_", " "): told(value)
        for name, value in result.items()
        if not is_table(value) and not name.endswith("_interval")
    }
    return [("Run", facts(plain))] if plain else []


def told(value: Any) -> Any:
    """Return a value of a summary as text for a cell; whole numbers stay."""
    if isinstance(value, Mapping):
        return "; ".join(f"{k}: {told(v)}" for k, v in value.items()) or "-"
    if isinstance(value, list | tuple):
        shown = ", ".join(str(told(v)) for v in value[:40])
        return f"{shown} ..." if len(value) > 40 else shown
    if isinstance(value, float):
        return f"{value:.4g}"
    return value


def score_tables(result: Mapping[str, Any]) -> list[str]:
    """Return a table of the rows of scores in a result, and one for each record of such rows."""
    whole = {name: part for name, part in result.items() if has_scores(part)}
    tables = [table(rows_of(whole, "scored"))] if whole else []
    for name, part in result.items():
        if is_table(part) and name not in whole:
            rows = rows_of(joined(part), name.replace("_", " "), result.get(f"{name}_interval", {}))
            tables.append(table(rows))
    return tables


def is_table(part: Any) -> bool:
    """Say whether a part of a result is shown as a table of scores."""
    nested = isinstance(part, Mapping) and bool(part)
    return has_scores(part) or (nested and all(has_scores(v) for v in joined(part).values()))


def joined(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return records of records of scores as records, by both names; others as they are."""
    if all(
        isinstance(v, Mapping) and v and all(map(has_scores, v.values())) for v in part.values()
    ):
        return {f"{a}, {b}": record for a, each in part.items() for b, record in each.items()}
    return dict(part)


def has_scores(part: Any) -> bool:
    """Tell a record with a number that is no count."""
    return isinstance(part, Mapping) and any(isinstance(v, float) for v in part.values())


def rows_of(
    parts: Mapping[str, Any], title: str, intervals: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return a row a record: its numbers, with the intervals that stand beside them.

    intervals: {record: {number: [low, high]}}; else those under the name `<number>_interval`
    """
    rows = []
    for name, part in parts.items():
        beside = (intervals or {}).get(name, {})
        row: dict[str, Any] = {title: name}
        for key, value in part.items():
            if is_number(value) and not isinstance(value, str):
                interval = beside.get(key, part.get(f"{key}_interval"))
                row[key.replace("_", " ")] = estimate(value, interval)
        rows.append(row)
    return rows


def shown_sections(shown: Shown | None) -> list[tuple[str, str]]:
    """Return the map and the worst errors as sections."""
    if shown is None:
        return []
    sections = []
    if shown.map is not None:
        sections.append(("Map of embeddings", map_html(shown.map)))
    if shown.worst:
        name, _, rest = shown.heading.partition(". ")
        words = f'<p class="soft">{escape(rest)}</p>' if rest else ""
        sections.append((name, words + plots_html(shown.worst, shown.axes)))
    return sections


def closing_sections(workdir: Path, config: ConfigDict) -> list[tuple[str, str]]:
    """Return the config, the versions and the hashes as sections."""
    kept = workdir / "config.json"
    plain = read_json(kept) if kept.exists() else json.loads(config.to_json())
    text = json.dumps(plain, indent=1, sort_keys=True)
    config_part = details("the whole config", f"<pre>{escape(text)}</pre>")
    init = Path(str(config.get("init", "")))
    trees = tree_hashes(workdir, "parameters")
    if config.get("init") and (init / "checkpoints").is_dir():
        trees |= tree_hashes(init, "parameters of config.init")
    hashes = {**trees, **data_hashes(config)}
    return [
        ("Config", config_part),
        ("Versions", facts(versions())),
        ("Hashes (SHA-256)", facts(hashes)),
    ]


def versions() -> dict[str, str]:
    """Return the versions of what a run rests on, and its device."""
    found = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a source tree that is not installed
            found[name] = "not installed as a package"
    devices = jax.devices()
    return {**found, "device": f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})"}


def tree_hashes(workdir: Path, name: str) -> dict[str, str]:
    """Return the hash of the parameters of the best and the last checkpoint, where they are."""
    found = {}
    for which in ("best", "last"):
        try:
            params, step = checkpoint.load_params(workdir, which)
        except UserError:  # a grown head has no last one, a learning curve has none
            continue
        found[f"{name}, {which} (step {step})"] = checkpoint.digest(params)
    return found


def data_hashes(config: ConfigDict) -> dict[str, str]:
    """Return the hash of each data file, or why there is none."""
    data = config.get("data", {})
    found: dict[str, str] = {}
    for path in (data[name] for name in PATHS if data.get(name)):
        try:
            files = find_files(str(path))
        except UserError as error:  # gone since it was read
            found[str(path)] = str(error)
            continue
        sizes = {file: Path(file).stat().st_size for file in files}
        if sum(sizes.values()) > HASHED:
            found[str(path)] = f"{len(files)} files, {sum(sizes.values()):,} bytes: not read again"
            continue
        hashes = {file: sha256(Path(file).read_bytes()).hexdigest() for file in files}
        if len(files) > LISTED:
            lines = "".join(f"{value}  {file}\n" for file, value in hashes.items())
            whole = sha256(lines.encode("utf-8", "replace")).hexdigest()
            found[f"{path} ({len(files)} files, of their hashes)"] = whole
        else:
            found |= hashes
    return found or {"data": "simulated: a function of the seed"}
