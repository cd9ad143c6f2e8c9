"""Which kind of attention is fastest on a device: values and gradients, as in a training step.

    python experiments/speed/attention.py [--rows=16] [--dtype=bfloat16] [--output=attention.json]

The winner is what `config.attention` should be there.  A kind that a device does not have is told
with what was said; shapes are those of the paper's network: 4 heads of 64, windows of 200.
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from measure import interleaved, machine, rounded

from astro_jax.main import keep_memory
from astro_jax.nn.attention import KINDS, kernel_bias, key_bias, masked_attention
from astro_jax.parallel import on_cpu
from astro_jax.workdir import write_text

HERE = Path(__file__).parent
flags.DEFINE_integer("rows", 0, "windows at once; 0: 16 on a CPU, 1024 elsewhere")
flags.DEFINE_enum("dtype", "", ["", "float32", "bfloat16"], "default: by device")
flags.DEFINE_integer("repeats", 20, "calls of each")
flags.DEFINE_string("output", str(HERE / "attention.json"), "JSON with all figures")
FLAGS = flags.FLAGS
HEADS, LENGTH, WIDTH = 4, 200, 64


def main(_: list[str]) -> None:
    """Time all kinds with a bias by key, and by pair of observations; print, write."""
    keep_memory()
    rows = FLAGS.rows or (16 if on_cpu() else 1024)
    dtype = FLAGS.dtype or ("float32" if on_cpu() else "bfloat16")
    found = {}
    for bias in ("keys", "pairs"):
        calls, absent = {}, {}
        for kind in KINDS:
            call = training_call(kind, bias, rows, dtype)
            try:
                jax.block_until_ready(call())
            except (ValueError, RuntimeError, NotImplementedError) as error:
                absent[kind] = str(error).splitlines()[0][:200]
                continue
            calls[kind] = call
        clocks = interleaved(calls, FLAGS.repeats)
        rates = {kind: float(np.median(rows / clock.wall)) for kind, clock in clocks.items()}
        found[bias] = {"windows_a_second": rates, "fastest": max(rates, key=rates.get), **absent}
        print(bias, found[bias])
    settings = {"rows": rows, "dtype": dtype, "heads": HEADS, "length": LENGTH, "width": WIDTH}
    told = {"machine": machine(), **settings, "found": found}
    write_text(Path(FLAGS.output), json.dumps(rounded(told), indent=1) + "\n")


def training_call(kind: str, bias: str, rows: int, dtype: str) -> Any:
    """Return a function of nothing that computes gradients through one attention."""
    draws = jax.random.normal(jax.random.key(0), (3, rows, HEADS, LENGTH, WIDTH)).astype(dtype)
    times = jnp.cumsum(jax.random.uniform(jax.random.key(1), (rows, LENGTH)), axis=1)
    keys = key_bias(jnp.arange(LENGTH) < 150 + jnp.arange(rows)[:, None] % 50)

    def total(qkv: Any, scale: Any) -> Any:
        more = kernel_bias(times, scale) if bias == "pairs" else 0.0
        mixed = masked_attention(*qkv, keys + more, kind)
        return (mixed.astype(jnp.float32) ** 2).sum()

    slopes, scale = jax.jit(jax.grad(total, (0, 1))), jnp.linspace(0.0, 3.0, HEADS)
    return lambda: slopes(draws, scale)


if __name__ == "__main__":
    app.run(main)
