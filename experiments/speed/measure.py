"""Clocks, roofs and counts: what the numbers of `run.py` are made of."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MATRIX = {"cpu": 2048, "gpu": 8192}  # rows and columns of the product that is the roof
COPIED = {"cpu": 2**26, "gpu": 2**29}  # float32 numbers of the copy: far beyond every cache
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "grain", "orbax-checkpoint", "pyarrow")


class Clock(NamedTuple):
    """Seconds on the wall and of the processors (all threads), one of each a repeat."""

    wall: np.ndarray
    cpu: np.ndarray


def interleaved(variants: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Clock]:
    """Time functions in turn, A B C A B C ..., after one call each that is not counted.

    A machine that slows down for a while then slows all of them down.  What a function returns is
    waited for.
    """
    for function in variants.values():
        jax.block_until_ready(function())
    found: dict[str, list] = {name: [] for name in variants}
    for _ in range(repeats):
        for name, function in variants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            jax.block_until_ready(function())
            found[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: Clock(*np.array(pairs).T) for name, pairs in found.items()}


def roofs() -> dict[str, Callable[[], Any]]:
    """Return a matrix product and a copy on the default device, compiled."""
    kind = jax.default_backend() if jax.default_backend() in MATRIX else "gpu"
    a = jax.random.normal(jax.random.key(0), (MATRIX[kind], MATRIX[kind]), dtype_of_roof())
    x = jnp.zeros(COPIED[kind], jnp.float32)
    product, copy = jax.jit(jnp.matmul), jax.jit(jnp.negative)
    return {"matmul": lambda: product(a, a), "copy": lambda: copy(x)}


def dtype_of_roof() -> Any:
    """Return what the product of the roof is computed in: bfloat16 on an accelerator."""
    return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16


def work_of_roofs() -> dict[str, float]:
    """Return the FLOPs of the product, and the bytes that the copy reads and writes."""
    kind = jax.default_backend() if jax.default_backend() in MATRIX else "gpu"
    return {"matmul": 2.0 * MATRIX[kind] ** 3, "copy": 8.0 * COPIED[kind]}


def matmul_flops(function: Callable, *arguments: Any) -> float:
    """Return the FLOPs of the matrix products and convolutions of a function, from its jaxpr."""
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr: Any) -> float:
    total = 0.0
    for eqn in jaxpr.eqns:
        name, out = eqn.primitive.name, eqn.outvars[0].aval
        if name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            total += 2.0 * out.size * np.prod([eqn.invars[0].aval.shape[d] for d in contracted])
        elif name == "conv_general_dilated":
            kernel = eqn.invars[1].aval
            width = kernel.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
            total += 2.0 * out.size * kernel.size / width
        else:
            times = eqn.params["length"] if name == "scan" else 1
            total += times * sum(_count(inner) for inner in _inner(eqn.params))
    return total


def _inner(params: Mapping[str, Any]) -> list:
    values = [v for value in params.values() for v in _as_list(value)]
    return [getattr(v, "jaxpr", v) for v in values if hasattr(v, "jaxpr") or hasattr(v, "eqns")]


def _as_list(value: Any) -> Sequence:
    return value if isinstance(value, tuple | list) else [value]


def compiled_facts(jitted: Callable, *arguments: Any) -> dict[str, float]:
    """Return the seconds to lower and compile a jitted function, and its memory in MiB."""
    start = time.perf_counter()
    memory = jitted.lower(*arguments).compile().memory_analysis()
    held = sum(getattr(memory, f"{k}_size_in_bytes", 0) for k in ("argument", "temp", "output"))
    return {"compile_seconds": time.perf_counter() - start, "memory_mib": held / 2**20}


def fresh(words: Sequence[str], cwd: Path | None = None, until: str = "") -> tuple[float, int, str]:
    """Run Python in a fresh process: seconds, peak memory in MiB, standard output.

    until: stop the clock at the first line of output that holds this text
    """
    wrapped = (
        "import resource, subprocess, sys; c = subprocess.run(sys.argv[1:]).returncode;"
        "print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(c)"
    )
    start, seconds, lines = time.perf_counter(), 0.0, []
    command = [sys.executable, "-c", wrapped, sys.executable, *words]
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            lines.append(line)
            if until and until in line and not seconds:
                seconds = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)[:200]} ended with {process.returncode}")
    return seconds or time.perf_counter() - start, int(lines[-1].split()[1]) // 1024, "".join(lines)


def machine() -> dict[str, Any]:
    """Return device, processor, versions and date of a measurement."""
    model = ""
    if Path("/proc/cpuinfo").exists():
        rows = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((r.split(":")[1].strip() for r in rows if r.startswith("model name")), "")
    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "cores": len(os.sched_getaffinity(0)),
        "processor": model or platform.processor(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "date": time.strftime("%Y-%m-%d"),
    }


def rounded(tree: Any) -> Any:
    """Return the tree with four significant digits."""
    if isinstance(tree, dict):
        return {name: rounded(value) for name, value in tree.items()}
    return float(f"{tree:.4g}") if isinstance(tree, float) else tree
