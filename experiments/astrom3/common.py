"""What the parts of the experiment share: sizes for a CPU, running a config, writing a result."""

import json
import os
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from astro_jax.data.multimodal_splits import SEEDS
from astro_jax.errors import STOPPED
from astro_jax.evals.classification import over_seeds
from astro_jax.main import main as command
from astro_jax.workdir import write_text

SHARED = Path(os.environ.get("ASTRO_JAX_SHARED", "../shared"))
MODES = ("spectra", "meta", "photo", "all")
SHARES = ("sub10", "full", "sub25", "sub50")  # in the order in which they are run
# What the configs are changed to on a CPU, everywhere: 2,000 objects instead of 21,440, batches of
# 32 instead of 512, fewer epochs.
# `small` also takes 64 observations of a light curve instead of 200, pixels of 6 Angstrom instead
# of 2, and a photometry tower of two blocks of 64 instead of eight of 128: an epoch then costs a
# fortieth.  `published` leaves these as in the configs.
DATA = {"data__simulate__stars": 2000, "batch_size": 32}
SIZES = {
    "small": {"data__wavelengths": "(3850.0,9000.0,6.0)", "window": 64},
    "published": {},
}
TOWERS = {"small": {"width": 64, "heads": 4, "ffn": 128, "blocks": 2}, "published": {}}
TOWER_AT = {"clip": "towers.photometry", "photo": "encoder", "all": "encoder.towers.photometry"}
EPOCHS = {"clip": 40, "classify": 20}
flags.DEFINE_enum("sizes", "small", list(SIZES), "of the towers and of what they see")
flags.DEFINE_string("runs", "runs/experiment_astrom3", "where all runs are kept")
flags.DEFINE_string("results", str(Path(__file__).parent), "where results and pictures go")
flags.DEFINE_list("seeds", [str(seed) for seed in SEEDS], "seeds of survey, split and network")
flags.DEFINE_list("shares", list(SHARES), "shares of the labels")
flags.DEFINE_float("minutes", 0.0, "start no further run after so many minutes; 0: do all")
FLAGS = flags.FLAGS
STARTED = time.monotonic()


def in_time() -> bool:
    """Say whether another run may be started."""
    return not FLAGS.minutes or time.monotonic() - STARTED < 60 * FLAGS.minutes


def seeds() -> list[int]:
    """Return the seeds that were asked for."""
    return [int(seed) for seed in FLAGS.seeds]


def keep_compilations() -> None:
    """Keep what is compiled on disk: five seeds share one network."""
    jax.config.update("jax_compilation_cache_dir", str(Path(FLAGS.runs).resolve() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def run(config: str, folder: str, changes: dict[str, Any]) -> dict | None:
    """Run a config in a folder of the experiment unless it is finished; return its summary.

    None where no further run may be started.
    """
    workdir = place(folder)
    if not (workdir / "summary.json").exists():
        if not in_time():
            return None
        words = [f"--config=configs/{config}", f"--workdir={workdir}"]
        words += [f"--config.{key.replace('__', '.')}={value}" for key, value in changes.items()]
        code = command(["main", *words])
        if code:
            raise SystemExit(0 if code == STOPPED else code)
    return json.loads((workdir / "summary.json").read_text())


def place(folder: str) -> Path:
    """Return the path of a run by its name."""
    return Path(FLAGS.runs) / FLAGS.sizes / folder


def tower(mode: str) -> dict[str, Any]:
    """Return the changes of the photometry tower of a mode."""
    at = TOWER_AT.get(mode)
    return {f"model.{at}.{key}": v for key, v in TOWERS[FLAGS.sizes].items()} if at else {}


def data() -> dict[str, Any]:
    """Return the changes of the data that all runs share."""
    return {**DATA, **SIZES[FLAGS.sizes]}


def clip(seed: int, name: str = "clip", **changes: Any) -> dict | None:
    """Train the space of a seed, or go on with it; return its summary, None if out of time."""
    told = {**data(), **tower("clip"), "seed": seed, "epochs": EPOCHS["clip"], **changes}
    return run("pretrain_astrom3.py", f"{name}_{seed}", told)


def classify(
    variant: str, seed: int, init: str = "", note: str = "", **changes: Any
) -> dict | None:
    """Train a classifier, from the space `init` (the name of one) or from nothing.

    note: what the name of the folder says of other changes
    """
    mode = variant.partition("_")[0]
    told = {**data(), **tower(mode), "seed": seed, "epochs": EPOCHS["classify"]}
    if init:
        told["init"] = place(f"{init}_{seed}")
    return run(f"classify_astrom3.py:{variant}", f"{variant}{note}_{seed}", {**told, **changes})


def paired(first: list[float], second: list[float]) -> dict[str, Any]:
    """Return the paired t-test over seeds: mean gain of the second over the first, interval, p.

    The interval (95 %) and p are None for one seed; p also where all seeds gain the same.
    """
    from scipy.stats import ttest_rel

    gain = np.subtract(second, first)
    mean, *interval = over_seeds(gain)
    p = float(ttest_rel(second, first).pvalue) if len(gain) > 1 and gain.std() > 0 else None
    known = interval if len(gain) > 1 else None
    return {"gain": mean, "interval": known, "p": p, "seeds": len(gain)}


def result(name: str) -> Path:
    """Return the path of a result; those of the published sizes have names of their own."""
    stem, _, kind = name.partition(".")
    return Path(FLAGS.results) / (
        name if FLAGS.sizes == "small" else f"{stem}_{FLAGS.sizes}.{kind}"
    )


def write(name: str, content: dict[str, Any]) -> None:
    """Write a result as JSON."""
    write_text(result(f"{name}.json"), json.dumps(content, indent=1) + "\n")
