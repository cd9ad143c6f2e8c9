"""Time the commands whose time is limited: a classifier of 10,000 curves, predictions for 3,500.

    python experiments/classify/limits.py

On two quiet CPU cores, from the command to its end, each in a process of its own; asked are three
minutes and two.  Writes limits.json.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
from absl import app
from surveys import WITHOUT, file_of

from astro_jax.workdir import write_text

HERE = Path(__file__).parent
PER_CLASS = 20
PREDICTED = 3500


def timed(config: str, *words: str) -> dict[str, float]:
    """Run a command; return its seconds on the wall and of CPU time."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    main = [sys.executable, "-m", "astro_jax.main", f"--config=configs/{config}.py"]
    subprocess.run([*main, *words], check=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(wall, 1), "cpu_seconds": round(cpu, 1)}


def main(argv: list[str]) -> None:
    """Train, predict, write what it took."""
    table, told = pq.read_table(file_of("asas")), {}
    with tempfile.TemporaryDirectory() as folder:
        few, run = f"{folder}/few.parquet", f"{folder}/run"
        pq.write_table(table.slice(0, PREDICTED), few)
        told["classify"] = {"curves": table.num_rows, "labels a class": PER_CLASS, "asked": 180}
        told["classify"] |= timed(
            "classify",
            f"--config.data.path={file_of('asas')}",
            f"--config.data.without=({WITHOUT['asas'][0]!r},)",
            f"--config.per_class={PER_CLASS}",
            f"--workdir={run}",
        )
        told["predict"] = {"curves": PREDICTED, "asked": 120}
        told["predict"] |= timed(
            "predict",
            f"--config.init={run}",
            f"--config.data.path={few}",
            f"--config.output={folder}/told.parquet",
            f"--workdir={folder}/job",
        )
    print(told)
    write_text(HERE / "limits.json", json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
