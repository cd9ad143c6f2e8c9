"""What the parts of the experiment share: data, bases, running a config, writing a result."""

import json
import os
from pathlib import Path
from typing import Any

from absl import flags

from astro_jax.main import main as command
from astro_jax.workdir import write_text

SHARED = Path(os.environ.get("ASTRO_JAX_SHARED", "../shared"))
HERE = Path(__file__).parent
YSE = SHARED / "data" / "transient_yse_dr1.parquet"
OFFICIAL = SHARED / "weights" / "transient_astromcad_ztfsims.npz"
THREE = ["SNII", "SNIa", "SNIb/c"]
FIVE = ["SNIa", "SNII", "SNIb/c", "SLSN-I", "TDE"]
SEEDS = 5
flags.DEFINE_string("runs", "runs/experiment_transients", "where all runs are kept")
FLAGS = flags.FLAGS


def run(config: str, folder: str, **changes: Any) -> Path:
    """Run a config in a folder of the experiment, or go on with it; return the folder."""
    words = [f"--config=configs/{config}", f"--workdir={FLAGS.runs}/{folder}"]
    words += [f"--config.{key.replace('__', '.')}={value}" for key, value in changes.items()]
    code = command(["main", *words])
    if code:
        raise SystemExit(code)
    return Path(FLAGS.runs) / folder


def base(name: str) -> str:
    """Return the folder of a base; train it where it is not there."""
    if name == "snpcc":
        path = SHARED / "data" / "transient_snpcc_sim.parquet"
        return str(run("train_ztf.py", name, data__path=path))
    variant = "" if name == "ztf" else f":{name}"
    return str(run(f"train_ztf.py{variant}", name))


def write(name: str, content: dict[str, Any]) -> None:
    """Write a result beside this file."""
    write_text(HERE / f"{name}.json", json.dumps(content, indent=1) + "\n")
