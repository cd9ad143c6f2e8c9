"""Embed a simulated catalogue of a million objects on two cores, in constant memory.

    python experiments/catalogue/run.py                     # a million objects
    python experiments/catalogue/run.py --objects=20000     # does it run?

Stopped or killed at any moment, the same command goes on.  The catalogue and its embeddings are
written below `runs/`; figures of all starts are summed in `result.json`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from absl import app, flags
from ml_collections import ConfigDict
from simulated import UNUSABLE, survey, write_catalogue

from astro_jax.data.windows import consecutive_windows, gather_windows
from astro_jax.models.astromer import Smoother
from astro_jax.spec import build, spec
from astro_jax.weights import Run, save_safetensors
from astro_jax.workdir import write_text

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
flags.DEFINE_integer("objects", 1_000_000, "of the catalogue")
flags.DEFINE_integer("seed", 0, "of the catalogue and the encoder")
flags.DEFINE_integer("shards", 2, "processes at once, one a core")
flags.DEFINE_string("folder", "", "default: runs/experiment_catalogue_<objects>")
flags.DEFINE_string("output", str(HERE / "result.json"), "JSON with all figures")
FLAGS = flags.FLAGS
ENCODER = {"width": 64, "heads": 4, "ffn": 128, "blocks": 2, "base": 10000.0}
WINDOW = 60
EVERY = 0.5  # seconds between two looks at the memory


def write_encoder(path: Path, seed: int) -> int:
    """Write an encoder with random parameters, for the rate; return how many it has."""
    config = ConfigDict({"model": spec(Smoother, **ENCODER), "window": WINDOW})
    model, curves = build(config.model), survey(seed).take([0])
    windows = consecutive_windows(curves.lengths, WINDOW)
    batch = {"photometry": gather_windows(curves, windows, WINDOW)}
    params = jax.jit(model.init)(jax.random.key(seed), batch)["params"]
    if not path.exists():
        save_safetensors(Run(config, model, params, 0), path)
    return sum(np.size(leaf) for leaf in jax.tree.leaves(params))


def start(folder: Path, shard: int, shards: int) -> subprocess.Popen:
    """Start the process of a shard, with one thread for the network."""
    words = [
        f"--config={ROOT / 'configs' / 'embed.py'}",
        f"--config.init={folder / 'encoder.safetensors'}",
        f"--config.data.path={folder / 'catalogue'}",
        f"--config.output={folder / 'embedded'}",
        f"--config.shard={shard}/{shards}",
    ]
    one = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": one}
    return subprocess.Popen([sys.executable, "-m", "astro_jax.main", *words], env=env, cwd=ROOT)


def memory(process: int) -> float:
    """Return the memory that a process holds now, MB (0 once it has ended)."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(x.split()[1]) / 1e3 for x in lines if x.startswith("VmRSS:")), 0.0)


def watched(processes: list[subprocess.Popen], embedded: Path) -> dict[str, Any]:
    """Wait for the shards; return codes, seconds, and what they held, by tenths of the work.

    memory: [(units done, MB of all processes)], the largest seen at each number of units
    """
    begin, before = time.time(), os.times()
    held: dict[int, float] = {}
    load = []
    try:
        while any(process.poll() is None for process in processes):
            done = sum(1 for _ in (embedded / "_manifest").glob("*.json"))
            now = sum(memory(process.pid) for process in processes)
            held[done] = max(held.get(done, 0.0), now)
            load.append(os.getloadavg()[0])
            time.sleep(EVERY)
    except KeyboardInterrupt:
        for process in processes:
            process.terminate()
            process.wait()
    after = os.times()
    return {
        "codes": [process.returncode for process in processes],
        "seconds": time.time() - begin,
        "cpu_seconds": sum(after[2:4]) - sum(before[2:4]),
        "load": [float(np.min(load)), float(np.median(load)), float(np.max(load))],
        "memory_mb": sorted(held.items()),
    }


def checked(folder: Path, objects: int) -> dict[str, Any]:
    """Compare ids and values of the embeddings with the catalogue, by Arrow alone."""
    told = json.loads((folder / "embedded" / "_reconciliation.json").read_text())
    wanted = pq.read_table(folder / "catalogue", columns=["id"])["id"].to_numpy()
    usable = np.arange(objects) % UNUSABLE != UNUSABLE - 1
    found = pq.read_table(folder / "embedded", columns=["id"])["id"].to_numpy()
    values = pq.read_schema(next((folder / "embedded").glob("*.parquet")))
    assert len(wanted) == objects == told["rows_in"], "rows in"
    assert np.array_equal(np.sort(found), np.sort(wanted[usable])), "ids"
    assert told["problems"] == [] and told["quarantined"] == int((~usable).sum()), "quarantine"
    assert values.field("embedding").type == pa.list_(pa.float32(), ENCODER["width"])
    return {name: told[name] for name in ("units", "rows_in", "rows_out", "quarantined")}


def summed(starts: list[dict[str, Any]], rows: int) -> dict[str, Any]:
    """Return rates and memory over all starts."""
    seconds, cpu = (sum(s[name] for s in starts) for name in ("seconds", "cpu_seconds"))
    held = np.array([value for s in starts for _, value in s["memory_mb"] if value])
    at = np.array([units for s in starts for units, value in s["memory_mb"] if value])
    half = at.max() / 2
    return {
        "starts": len(starts),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "objects_a_second": round(rows / seconds, 1),
        "objects_a_cpu_second": round(rows / cpu, 1),
        "peak_mb_all_processes": round(held.max(), 1),
        "peak_mb_first_half": round(held[at <= half].max(), 1),
        "peak_mb_second_half": round(held[at > half].max(), 1),
        "load_1_min": [round(float(f([s["load"][k] for s in starts])), 1)
                       for k, f in enumerate((min, np.median, max))],
    }  # fmt: skip


def main(_: list[str]) -> None:
    """Simulate, embed, reconcile, write the figures."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(FLAGS.folder or f"runs/experiment_catalogue_{FLAGS.objects}").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.process_time()
    size = write_catalogue(folder / "catalogue", FLAGS.objects, FLAGS.seed)
    print(f"catalogue of {size / 1e6:.0f} MB: {time.process_time() - begin:.0f} CPU s", flush=True)
    parameters = write_encoder(folder / "encoder.safetensors", FLAGS.seed)
    processes = [start(folder, k, FLAGS.shards) for k in range(FLAGS.shards)]
    told = watched(processes, folder / "embedded")
    log = folder / "starts.jsonl"
    with open(log, "a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")
    if any(told["codes"]):
        sys.exit(f"shards ended with {told['codes']}; the same command goes on")
    starts = [json.loads(line) for line in log.read_text().splitlines()]
    result = {
        "objects": FLAGS.objects,
        "catalogue_mb": round(size / 1e6, 1),
        "encoder": {**ENCODER, "window": WINDOW, "parameters": parameters},
        "shards": FLAGS.shards,
        "cores": os.cpu_count(),
        **checked(folder, FLAGS.objects),
        **summed(starts, FLAGS.objects),
    }
    write_text(Path(FLAGS.output), json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    app.run(main)
