"""Transfer of transient classification: what it is worth on real and simulated surveys.

    python experiments/transients/run.py [bases curve goal zero_shot ...] [--runs=FOLDER]
    python experiments/transients/run.py curve --curves=ztf_yse,ztf_lsst

Parts, each resumable: `bases` trains a base on each of simulated ZTF, YSE, LSST-and-both, and on
SNPCC; `curve` measures the learning curves; `goal` trains with 60 and with all labels of YSE, five
seeds, beside forests, linear probes and the majority; `zero_shot` classifies real objects without
any label; `redshift` hides redshifts; `outliers` looks for other classes; `speed`. Each writes a
JSON, some a picture, beside this file.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from common import FLAGS, HERE, SHARED, YSE, base, run, write
from real import zero_shot
from yse import goal, outliers, redshift

import astro_jax
from astro_jax.transient_prediction import predict_transients
from astro_jax.workdir import write_text

CURVES = {
    "ztf_yse": ("ztf_yse", "ztf", {}),
    "ztf_yse_two_bands": (
        "ztf_yse",
        "ztf",
        {
            "data__band": "ztfg,ztfr",
            "sizes": (0, 15, 60, 170),  # 175 labels with these bands lie outside of the test part
            "methods": ("transfer", "direct", "direct_paper"),
        },
    ),
    "ztf_lsst": (
        "ztf_lsst",
        "ztf",
        {"sizes": (0, 30, 100, 300)},  # 1000, as in the config, where a GPU is at hand
    ),
    "ztf_lsst_long": (
        "ztf_lsst",
        "ztf",
        {
            "sizes": (0, 30, 100, 300),
            # transfer for as long, and at the rate, of direct training
            "fits__transfer__steps": 600,
            "fits__transfer__epochs": 60,
            "fits__transfer__patience": 40,
            "fits__transfer__optimizer__schedule__rate": 1e-3,
        },
    ),
    "snpcc_yse": ("snpcc_yse", "snpcc", {"sizes": (0, 15, 60, 200)}),
    "surveys_yse": ("ztf_yse", "surveys", {"sizes": (0, 15, 60, 200)}),
    "yse_yse": ("ztf_yse", "yse", {"sizes": (0, 15, 60, 200)}),
}
# curves whose direct fits are those of another one
SAME_TARGET = dict.fromkeys(("snpcc_yse", "surveys_yse", "yse_yse"), "ztf_yse")
SAME_TARGET["ztf_lsst_long"] = "ztf_lsst"


flags.DEFINE_list("curves", list(CURVES), "the learning curves that `curve` measures")


def curve() -> None:
    """Measure the learning curves of --curves; put them into curves.json."""
    path = HERE / "curves.json"
    told = json.loads(path.read_text()) if path.exists() else {}
    for name in FLAGS.curves:
        variant, start, changes = CURVES[name]
        init = base(start)
        changes = dict(changes)
        if variant != "ztf_lsst":
            changes["data__path"] = YSE
        if name in SAME_TARGET:
            changes["methods"] = ("transfer", "direct", "direct_paper")
            copy_direct(name, changes["sizes"])
        if name == "snpcc_yse":
            changes["base__data__path"] = SHARED / "data" / "transient_snpcc_sim.parquet"
        if name in ("surveys_yse", "yse_yse"):
            surveys = {"surveys_yse": ("ztf", "yse", "lsst"), "yse_yse": ("yse",)}[name]
            changes["base__data__simulate__surveys"] = surveys
        folder = run(f"learning_curve.py:{variant}", f"curve_{name}", init=init, **changes)
        told[name] = json.loads((folder / "summary.json").read_text())
        write("curves", told)
        picture = (folder / "learning_curve.png").read_bytes()
        (HERE / f"curve_{name}.png").write_bytes(picture)


def copy_direct(name: str, sizes: tuple[int, ...]) -> None:
    """Take the direct fits of another curve over: same target, sizes, seeds and networks."""
    source = Path(FLAGS.runs) / f"curve_{SAME_TARGET[name]}" / "fits.jsonl"
    folder = Path(FLAGS.runs) / f"curve_{name}"
    if not source.exists() or (folder / "fits.jsonl").exists():
        return
    fits = [json.loads(line) for line in source.read_text().splitlines()]
    kept = [f for f in fits if f["method"].startswith("direct") and f["size"] in sizes]
    write_text(folder / "fits.jsonl", "".join(json.dumps(f) + "\n" for f in kept))


def speed() -> None:
    """Time the simulator and the prediction on this machine; write speed.json."""
    told: dict[str, Any] = {"cores": os.cpu_count(), "load": os.getloadavg()[0]}
    for survey in ("ztf", "yse", "lsst"):
        start = time.perf_counter()
        sample = astro_jax.simulate_transients(4000, 3, survey)
        told[f"simulated {survey}, objects a second"] = 4000 / (time.perf_counter() - start)
    run_of = astro_jax.load(base("ztf"))
    for _ in range(2):  # the first one compiles
        start = time.perf_counter()
        predict_transients(run_of, sample)
        told["predicted, objects a second"] = 4000 / (time.perf_counter() - start)
    write("speed", told)


def bases() -> None:
    """Train all bases; write bases.json with their scores on simulations."""
    told = {}
    for name in ("ztf", "surveys", "yse", "snpcc"):
        result = json.loads((Path(base(name)) / "summary.json").read_text())
        told[name] = {k: result[k] for k in ("model", "objects", "best_step", "seconds")}
        write("bases", told)


def main(argv: list[str]) -> None:
    """Run the named parts."""
    logging.set_verbosity(logging.WARNING)
    parts = (bases, curve, goal, zero_shot, redshift, outliers, speed)
    parts = {part.__name__: part for part in parts}
    for name in argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    app.run(main)
