"""From the text files of a survey to a confusion matrix: every command on the way.

    python experiments/from_text/run.py [--per_class=20] [--originals=DIR] [--table=FILE]

OGLE-III LMC: the original `.dat` files at hand are few (three a class), so that the other stars of
the shared table are written as files of the same layout (HJD - 2450000, magnitude, error; class in
the name).  What is read from there on is text only:
    convert.py   text files -> one Parquet object table
    classify.py  20 labels a class -> a classifier, its scores and confusion.png
    predict.py   the original files -> a class and probabilities of each
The split by star needs to know which stars are the same in other surveys, since the weights have
seen unlabelled curves of those: `star` is joined from the shared table.  Writes result.json and
confusion.png beside this file.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from absl import app, flags, logging

from astro_jax.data.curves import Curves
from astro_jax.data.read import read_survey
from astro_jax.main import main as command
from astro_jax.workdir import read_json, write_text

SHARED = Path(os.environ.get("ASTRO_JAX_SHARED", "../shared")) / "data"
HERE = Path(__file__).parent
HJD_TO_MJD = 50_000 - 0.5  # HJD - 2450000 is MJD - 50000 + 0.5
flags.DEFINE_string("originals", str(SHARED / "raw_samples" / "ogle3_dat"), "original files")
flags.DEFINE_string("table", str(SHARED / "variable_stars" / "ogle3_lmc.parquet"), "other stars")
flags.DEFINE_string("workdir", "runs/experiment_from_text", "where files and runs are kept")
flags.DEFINE_string("init", "base", "the encoder")
flags.DEFINE_integer("per_class", 20, "labels a class")
FLAGS = flags.FLAGS


def run(config: str, **changes: object) -> None:
    """Run a config; end where it fails."""
    words = [f"--config.{key.replace('__', '.')}={value}" for key, value in changes.items()]
    workdir = Path(FLAGS.workdir) / f"{config}_{FLAGS.per_class}"
    code = command(["main", f"--config=configs/{config}.py", f"--workdir={workdir}", *words])
    if code:
        raise SystemExit(code)


def write_files(table: Curves, folder: Path) -> None:
    """Write each curve as OGLE does, but those of which a file is there."""
    there = {path.name for path in folder.glob("*.dat")}
    for k, name in enumerate(table.columns["id"].to_pylist()):
        if f"{name}.dat" in there:
            continue
        time, mag, err = table.curve(k).T
        np.savetxt(
            folder / f"{name}.dat", np.column_stack([time - HJD_TO_MJD, mag, err]), "%.5f %.4f %.4f"
        )


def copy_originals(folder: Path) -> list[str]:
    """Copy the original I-band files into one folder; return their names."""
    files = sorted(Path(FLAGS.originals).glob("*/I/OGLE-*.dat"))
    for path in files:
        shutil.copy(path, folder / path.name)
    return [path.stem for path in files]


def differences(text: Curves, table: Curves) -> dict[str, float]:
    """Compare observations of the same stars: nearest in time, in days and magnitudes.

    The table dropped observations with huge errors, which the text has.
    """
    place = {name: k for k, name in enumerate(table.columns["id"].to_pylist())}
    time, mag, more = 0.0, 0.0, 0
    for k, name in enumerate(text.columns["id"].to_pylist()):
        ours, theirs = text.curve(k), table.curve(place[name])
        after = np.clip(np.searchsorted(ours[:, 0], theirs[:, 0]), 1, len(ours) - 1)
        before = theirs[:, 0] - ours[after - 1, 0] < ours[after, 0] - theirs[:, 0]
        same = ours[after - before]
        gap = np.abs(same - theirs)
        time, mag = max(time, gap[:, 0].max()), max(mag, gap[:, 1].max())
        more += len(ours) - len(theirs)
    return {"time, days": time, "magnitude": mag, "observations in the text only": more}


def add_star(path: Path, known: Curves) -> None:
    """Join the column `star` to an object table by id."""
    columns = (known.columns[name].to_pylist() for name in ("id", "star"))
    star = dict(zip(*columns, strict=True))
    table = pq.read_table(path)
    names = pa.array([star.get(name, name) for name in table["id"].to_pylist()])
    pq.write_table(table.append_column("star", names), path)


def main(_: list[str]) -> None:
    """Go from text to a confusion matrix."""
    logging.set_verbosity(logging.WARNING)
    known, _ = read_survey(FLAGS.table)
    workdir = Path(FLAGS.workdir)
    folder, survey = workdir / "ogle3_dat" / "I", workdir / "survey.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    originals = copy_originals(folder)
    write_files(known, folder)
    run("convert", format="ogle", input=folder.parent, output=survey)
    add_star(survey, known)
    text, ledger = read_survey(str(survey))
    fold = {"per_class": FLAGS.per_class, "init": FLAGS.init, "baselines": True}
    run("classify", data__path=survey, **fold)
    trained = workdir / f"classify_{FLAGS.per_class}"
    shutil.copy(trained / "confusion.png", HERE / "confusion.png")
    output = workdir / "predictions.parquet"
    run("predict", init=trained, data__path=FLAGS.originals, data__band="I", output=output)
    summary = read_json(trained / "summary.json")
    told = pq.read_table(output).to_pylist()
    right = [row["prediction"] == row["id"].split("-")[2].lower() for row in told]
    result = {
        "original files": len(originals),
        "files written from the table": len(list(folder.glob("*.dat"))) - len(originals),
        "read": {"objects": len(text), "observations": len(text.time), "lost": len(ledger.rows)},
        "largest difference of text and table": differences(text, known),
        "labels a class": FLAGS.per_class,
        **{k: summary[k] for k in ("objects", "left_out", "seconds")},
        **{k: v for k, v in summary.items() if isinstance(v, dict) and "macro_f1" in v},
        "original files predicted": len(told),
        "of these right (some were trained on)": int(np.sum(right)),
    }
    write_text(HERE / "result.json", json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
