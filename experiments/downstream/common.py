"""What the parts of the experiment share: surveys, weights, running a config, keeping cells."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from absl import flags

sys.path.insert(0, str(Path(__file__).parents[1]))
from classify.forests import forest
from classify.surveys import (
    BANDS,
    NAMES,
    OFFICIAL,
    WITHOUT,
    blocks_of,
    file_of,
    kept,
    labelled,
    vectors_of,
)

from astro_jax.main import main as command
from astro_jax.workdir import read_json, write_text

__all__ = [
    "BANDS",
    "blocks_of",
    "forest",
    "NAMES",
    "OFFICIAL",
    "WITHOUT",
    "file_of",
    "kept",
    "labelled",
    "vectors_of",
]
HERE = Path(__file__).parent
RUNS = "runs/experiment_downstream"
LEFT_OUT = {"asas": "asas", "crts": "crts", "ogle3_lmc": "ogle", "eros1": "eros", "macho": "macho"}
flags.DEFINE_float("minutes", 1e9, "start no further cell after so many minutes")
flags.DEFINE_integer("folds", 3, "folds, or seeds, of every cell")
FLAGS = flags.FLAGS
START = time.monotonic()


def run(config: str, folder: str, **changes: Any) -> Path:
    """Run a config in a folder of the experiment, or go on with it; return the folder.

    A finished run only reports; one of another config is refused.
    """
    words = [f"--config=configs/{config}", f"--workdir={RUNS}/{folder}"]
    words += [f"--config.{key.replace('__', '.')}={value}" for key, value in changes.items()]
    code = command(["main", *words])
    if code:
        raise SystemExit(code)
    return Path(RUNS) / folder


def data_of(survey: str) -> dict[str, Any]:
    """Return the changes of a config that name a survey, its band and the classes to leave out."""
    changes: dict[str, Any] = {"data__path": file_of(survey)}
    if survey in BANDS:
        changes["data__band"] = BANDS[survey]
    if survey in WITHOUT:
        changes["data__without"] = WITHOUT[survey]
    return changes


def weights_of(name: str, survey: str) -> str:
    """Return what `config.init` takes: "official", "base", or "without" the survey (trained)."""
    if name == "official":
        return str(OFFICIAL)
    if name == "without":
        return str(run(f"pretrain_macho.py:without_{LEFT_OUT[survey]}", f"without_{survey}"))
    return name


def fill(name: str, cells: Iterable[tuple], measure: Callable[..., dict[str, Any]]) -> list[dict]:
    """Measure the cells that <name>.json lacks, until --minutes are over; return all records.

    A record holds the cell as `cell`, a list, and what `measure(*cell)` returned; `wanted` and
    `done` count the cells of this call.
    """
    path = HERE / f"{name}.json"
    records = read_json(path)["cells"] if path.exists() else []
    done = [record["cell"] for record in records]
    cells = [list(cell) for cell in cells]
    for cell in (cell for cell in cells if cell not in done):
        if time.monotonic() - START > 60 * FLAGS.minutes:
            break
        records.append({"cell": cell, **measure(*cell)})
        keep(name, cells, records)
        print(name, records[-1], flush=True)
    keep(name, cells, records)
    return records


def keep(name: str, cells: list[list], records: list[dict]) -> None:
    """Write the records beside this file, and how many of the cells they hold."""
    ready = sum(record["cell"] in cells for record in records)
    write(name, {"wanted": len(cells), "done": ready, "cells": records})


def write(name: str, content: dict[str, Any]) -> None:
    """Write a result beside this file."""
    write_text(HERE / f"{name}.json", json.dumps(content, indent=1) + "\n")
