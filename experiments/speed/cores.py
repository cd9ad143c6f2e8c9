"""Measure training and encoding with a process on each core, and with one process on one core.

    python experiments/speed/cores.py [--cases=astromer:64] [--rounds=3] [--repeats=8]

Each way in turn, in fresh processes; cases that the JSON has are replaced, others stay.
The processes train together, as `--config.mode=sharded --config.multihost=local/N` does: each
step is that of the global batch; to encode, each takes its part of the curves, as
`configs/embed.py` with `--config.shard=i/N` does.  The roof is the sum of the matrix products
that all of them compute at the same time, once before each call.  For CPUs.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import jax
import numpy as np
import plain
import systems
from absl import app, flags
from measure import machine, matmul_flops, roofs, rounded, work_of_roofs
from ml_collections import ConfigDict

from astro_jax.data.multimodal_batches import OBJECTS
from astro_jax.data.pipeline import WINDOWS
from astro_jax.data.simulate import simulate_survey
from astro_jax.infer import encode
from astro_jax.main import keep_memory
from astro_jax.multihost import join, own_cores, start_others
from astro_jax.multimodal_source import load_parts, rows_facts
from astro_jax.multimodal_task import object_task, resolve_pieces, resolve_steps
from astro_jax.supervised import resolve_config
from astro_jax.train import System, assemble
from astro_jax.weights import Run
from astro_jax.workdir import read_json, write_text

HERE = Path(__file__).parent
CASES = ["astromer:64", "encode:512", "astrom3:32", "tower:32", "tower:256"]
ALONE = ("tower",)  # a classifier: no job of several processes
flags.DEFINE_list("cases", CASES, "what is measured: NAME:ROWS")
flags.DEFINE_integer("rounds", 3, "how often all ways of a case are measured, in turn")
flags.DEFINE_string("case", "", "measure this one alone: NAME:ROWS:PROCESSES")
flags.DEFINE_string("config.multihost", "", "which of the processes this is; set by the first")
flags.DEFINE_integer("repeats", 8, "calls of each case")
flags.DEFINE_bool("tiny", False, "batches of 8 objects and small networks, to see that it runs")
flags.DEFINE_string("output", str(HERE / "cores.json"), "JSON with all figures")
FLAGS = flags.FLAGS
NARROW = {"width": 16, "heads": 2, "ffn": 16, "blocks": 1}


def built(name: str, rows: int, mode: str) -> tuple[System, float]:
    """Return a system ready to train, and the FLOPs of the plain network forwards, an object."""
    sizes = NARROW if FLAGS.tiny else {}
    if name == "astromer":
        config = systems.config_of("pretrain_macho:paper", **sizes)
        config.update({"batch_size": rows, "mode": mode})
        system = assemble(config, simulate_survey(200, 0), feed=WINDOWS)
        record = jax.tree.map(lambda x: x[:1], system.batches(0)["photometry"])
        return system, matmul_flops(plain.astromer, system.fresh.params, record)
    variant = (
        "pretrain_astrom3:official" if name == "astrom3" else "classify_astrom3:photo_official"
    )
    config = systems.config_of(variant)
    tower = config.model.towers.photometry if name == "astrom3" else config.model.encoder
    tower.update(sizes)
    config.update({"batch_size": rows, "mode": mode})
    config.data.simulate.stars = int(rows * 1.6) + 100
    if name == "astrom3":
        parts = load_parts(config).train
        config = resolve_pieces(resolve_steps(config, len(parts)))
        config.rows = ConfigDict(rows_facts(config))
    else:
        task = object_task(config)
        config, parts = resolve_config(config, task.facts), task.train
    system = assemble(config, parts, feed=OBJECTS)
    record = jax.tree.map(lambda x: x[:1], system.batches(0))
    index = systems.key_draws(config.rows.length, tower, jax.random.key(0))
    network = plain_clip if name == "astrom3" else plain_tower
    return system, matmul_flops(network, system.fresh.params, record, index)


def plain_clip(params: Any, batch: Any, index: Any) -> Any:
    """Return the vectors of all modalities in the plain network."""
    return plain.astrom3(params, batch, index)


def plain_tower(params: Any, batch: Any, index: Any) -> Any:
    """Return the features of the photometry tower of a classifier in the plain network."""
    return plain.informer(params["encoder"], batch["photometry"], index, None, 0.0)


def training(name: str, rows: int, processes: int) -> tuple[Callable, float]:
    """Return a function that takes a step of all processes, and the FLOPs of it, an object."""
    system, flops = built(name, rows, "sharded" if processes > 1 else "jit")
    batch = system.steps.place_batch(system.batches(0))
    held = [system.steps.place_state(system.fresh)]

    def step() -> Any:
        held[0], metrics = system.steps.train(held[0], batch, system.key)
        return metrics

    return step, 3 * flops


def encoding(_: str, rows: int, processes: int) -> tuple[Callable, float]:
    """Return a function that encodes this process's part of the curves, and the FLOPs of each."""
    system, flops = built("astromer", 8, "jit")
    config = systems.config_of("pretrain_macho:paper", **(NARROW if FLAGS.tiny else {}))
    run = Run(config, system.model, system.fresh.params, 0)
    curves = systems.full_curves(simulate_survey(200, 0), config.window, rows // processes)
    return lambda: encode(run, curves), flops


def measured(name: str, rows: int, processes: int) -> dict[str, Any]:
    """Time steps beside matrix products, in all processes at once; return rates and share."""
    make = encoding if name == "encode" else training
    work, flops = make(name, rows, processes)
    matmul, seconds = roofs()["matmul"], []
    jax.block_until_ready((matmul(), work()))
    for _ in range(FLAGS.repeats):
        meet(processes)
        start = time.perf_counter()
        jax.block_until_ready(matmul())
        middle = time.perf_counter()
        meet(processes)
        begin, cpu = time.perf_counter(), time.process_time()
        jax.block_until_ready(work())
        meet(processes if name == "encode" else 1)  # who trains has met in the exchange
        seconds.append((middle - start, time.perf_counter() - begin, time.process_time() - cpu))
    roof, wall, cpu = np.array(seconds).T
    peak = processes * work_of_roofs()["matmul"] / roof
    return {
        "rate": float(np.median(rows / wall)),
        "per_cpu_second": float(np.median(rows / processes / cpu)),
        "roof": float(np.median(flops * rows / wall / peak)),
        "roof_gflops": float(np.median(peak)) / 1e9,
        "mflops": flops / 1e6,
    }


def meet(processes: int) -> None:
    """Wait for the other processes."""
    if processes > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices("measure")


def one_case(words: list[str]) -> None:
    """Be one of the processes of a case; the first one prints the figures as JSON."""
    name, rows, processes = FLAGS.case.split(":")
    processes, place = int(processes), FLAGS["config.multihost"].value
    if place:
        address, k, _ = place.rsplit("/", 2)
        join({"coordinator_address": address, "num_processes": processes, "process_id": int(k)})
    elif processes > 1:
        join(start_others(processes, [sys.executable, *words]))
    told = measured(name, int(rows), processes)
    if not jax.process_index():
        print(json.dumps(told))


def in_fresh_processes(script: str, name: str, rows: int, processes: int, threads: int) -> dict:
    """Measure a case in processes that know nothing of the others; return its figures."""
    words = [script, f"--case={name}:{rows}:{processes}", f"--repeats={FLAGS.repeats}"]
    words += [f"--tiny={FLAGS.tiny}"]
    environment = {**os.environ, "NPROC": str(threads), "JAX_PLATFORMS": "cpu"}
    with tempfile.TemporaryFile("w+") as errors:
        told = subprocess.run(
            [sys.executable, *words], stdout=-1, stderr=errors, text=True, env=environment
        )
        if told.returncode:
            errors.seek(0)
            raise SystemExit(errors.read()[-3000:])
    return rounded(json.loads(told.stdout.splitlines()[-1]))


def main(argv: list[str]) -> None:
    """Measure each case in processes of its own; print, and write the JSON."""
    keep_memory()
    if FLAGS.case:
        one_case(sys.argv)
        return
    cores, path = own_cores(), Path(FLAGS.output)
    told = read_json(path) if path.exists() else {"found": []}
    for case in FLAGS.cases:
        name, rows = case.split(":")
        ways = [(1, 1), (1, cores)] + ([] if name in ALONE else [(cores, 1)])
        rounds: dict[tuple[int, int], list] = {way: [] for way in ways}
        for _, way in product(range(FLAGS.rounds), ways):
            size = 8 if FLAGS.tiny else int(rows)
            rounds[way].append(in_fresh_processes(argv[0], name, size, *way))
            print(case, way, rounds[way][-1], flush=True)
        told["found"] = [old for old in told["found"] if old["case"] != case]
        for (processes, threads), figures in rounds.items():
            record = {"case": case, "processes": processes, "threads": threads, "rounds": figures}
            told["found"].append({**record, "date": machine()["date"]})
        write_text(path, json.dumps({"machine": machine(), **told}, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
