"""Measure training and encoding of the three systems against the roof of this machine.

    python experiments/speed/run.py                         # all: ten minutes on two cores
    python experiments/speed/run.py --cases=astromer        # one system
    python experiments/speed/run.py --tiny --output=x.json  # small networks: does it run?

On a GPU the same command takes batches of thousands and bfloat16 (`--dtype`).  Every figure is the
median over `--repeats` of interleaved calls, so that what else the machine does meets all alike; a
share of the roof is the median of the ratio to the matrix product of the same repeat.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import measure
import numpy as np
import startup
import systems
from absl import app, flags

from astro_jax.main import keep_memory
from astro_jax.nn.attention import KINDS
from astro_jax.parallel import on_cpu
from astro_jax.report import text_table

HERE = Path(__file__).parent
flags.DEFINE_list("cases", ["astromer", "astrom3", "transients", "startup"], "what is measured")
flags.DEFINE_integer("repeats", 5, "calls of each function")
flags.DEFINE_enum("dtype", "", ["", "float32", "bfloat16"], "of activations; default: by device")
flags.DEFINE_enum("attention", "einsum", KINDS, "of ASTROMER; attention.py says which is fastest")
flags.DEFINE_bool("tiny", False, "small networks and batches, to see that it runs")
flags.DEFINE_string("output", str(HERE / "result.json"), "JSON with all figures")
FLAGS = flags.FLAGS
NARROW = {"width": 16, "heads": 2, "ffn": 16, "blocks": 1}


def cases(name: str, tiny: bool) -> list:
    """Return functions that build the cases of a system, sized for the device."""
    dtype = FLAGS.dtype or ("float32" if on_cpu() else "bfloat16")
    if name == "astromer":
        if tiny:
            return [partial(systems.astromer, 8, 1, 4, dtype, FLAGS.attention, **NARROW)]
        sizes = [(64, 2, 64)] if on_cpu() else [(1024, 20, 8192), (8192, 10, 8192)]
        return [partial(systems.astromer, *size, dtype, FLAGS.attention) for size in sizes]
    if name == "astrom3":
        if tiny:
            return [partial(systems.astrom3, 8, 1, dtype, **NARROW)]
        sizes = [(32, 1), (256, 1)] if on_cpu() else [(256, 10), (2048, 5)]
        return [partial(systems.astrom3, *size, dtype) for size in sizes]
    if tiny:
        return [partial(systems.transient, 8, 1, 16, width=8, latent_width=8)]
    sizes = [(128, 4, 64), (256, 1, 656)] if on_cpu() else [(1024, 20, 64), (1024, 10, 656)]
    return [partial(systems.transient, *size) for size in sizes]


def measured(case: systems.Case, repeats: int) -> dict[str, Any]:
    """Time all phases of a case beside the roofs; return rates, shares and ratios."""
    told: dict[str, Any] = {"unit": case.unit, "rows": case.rows, **case.facts}
    told["forward_mflops"] = case.forward_flops / 1e6
    work = measure.work_of_roofs()
    for job, phases, passes in (("train", case.train, 3), ("encode", case.encode, 1)):
        timed = {name: phase.function for name, phase in phases.items()}
        clocks = measure.interleaved({**measure.roofs(), **timed}, repeats)
        peak = work["matmul"] / clocks["matmul"].wall
        told[job] = {
            "roof_gflops": float(np.median(peak)) / 1e9,
            "copy_gb": float(np.median(work["copy"] / clocks["copy"].wall)) / 1e9,
        }
        for name, phase in phases.items():
            wall = phase.objects / clocks[name].wall
            cpu = phase.objects / np.maximum(clocks[name].cpu, 1e-9)
            told[job][name] = {
                "rate": float(np.median(wall)),
                "best": float(wall.max()),
                "per_cpu_second": float(np.median(cpu)),
                "roof": float(np.median(wall * passes * case.forward_flops / peak)),
            }
    steps = told["train"]
    told["stall"] = 1.0 - steps["loop"]["rate"] / steps["step"]["rate"]
    told["train_gain"] = steps["step"]["rate"] / steps["plain step"]["rate"]
    told["input_gain"] = steps["input"]["rate"] / steps["plain input"]["rate"]
    told["encode_gain"] = told["encode"]["API"]["rate"] / told["encode"]["plain step"]["rate"]
    return told


def table(result: dict[str, Any]) -> str:
    """Return the figures as text: one row a phase of each case."""
    rows = []
    for name, case in result["cases"].items():
        for job in ("train", "encode"):
            phases = {k: v for k, v in case[job].items() if isinstance(v, dict)}
            base = {"train": "plain step", "encode": "plain step"}[job]
            for phase, found in phases.items():
                heavy = "input" not in phase and phase not in ("transfer", "read", "write")
                rows.append(
                    {
                        "case": name,
                        "job": job,
                        "phase": phase,
                        f"{case['unit']}/s": f"{found['rate']:,.0f}",
                        "a CPU second": f"{found['per_cpu_second']:,.1f}",
                        "of the roof": f"{100 * found['roof']:.0f} %" if heavy else "",
                        "x plain": f"{found['rate'] / case[job][base]['rate']:.2f}"
                        if heavy
                        else "",
                    }
                )
    return "\n".join(text_table([r for r in rows if r["case"] == n]) for n in result["cases"])


def main(_: list[str]) -> None:
    """Measure, print, write."""
    keep_memory()  # as every job does
    result = {"machine": measure.machine(), "repeats": FLAGS.repeats, "cases": {}}
    for name in FLAGS.cases:
        if name == "startup":
            result["startup"] = startup.measured(FLAGS.tiny)
            print(json.dumps(result["startup"], indent=1))
            continue
        for build in cases(name, FLAGS.tiny):
            case = build()
            key = f"{case.name}, {case.rows}"
            result["cases"][key] = measured(case, FLAGS.repeats)
            print(table({"cases": {key: result["cases"][key]}}), flush=True)
            jax.clear_caches()
    Path(FLAGS.output).write_text(json.dumps(measure.rounded(result), indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
