"""What a user waits for before the first result, and how much memory encoding takes."""

import tempfile
from pathlib import Path
from typing import Any

from measure import fresh

ROOT = Path(__file__).parents[2]
MAIN = ("-m", "astro_jax.main")
LONG = """
import sys
import numpy as np
from astro_jax.data.curves import from_arrays
from astro_jax.data.table import write_table
rng = np.random.default_rng(0)
count, points = int(sys.argv[2]), 200
times = 5e4 + np.sort(rng.uniform(0, 2000, (count, points)), axis=1)
mags = 15 + 0.3 * rng.standard_normal((count, points))
write_table(from_arrays(list(np.stack([times, mags], axis=-1))), sys.argv[1])
"""
SMALL = """
import sys
from pathlib import Path
import jax
import numpy as np
from ml_collections import ConfigDict
from astro_jax.models.astromer import Paper
from astro_jax.spec import build, spec
from astro_jax.weights import Run, save_safetensors
model = spec(Paper, width=16, heads=2, ffn=16, blocks=1)
zeros = np.zeros((1, 200), np.float32)
light = {"times": zeros, "values": np.zeros((1, 200, 2), np.float32), "mask": zeros == 0}
params = jax.jit(build(model).init)(jax.random.key(0), {"photometry": light})["params"]
config = ConfigDict({"model": model, "window": 200})
save_safetensors(Run(config, build(model), params, 0), Path(sys.argv[1]))
"""


def measured(tiny: bool) -> dict[str, Any]:
    """Return seconds of import, help and first step (from nothing, then with a compilation cache).

    Also the peak memory in MiB of the command that embeds a short and a long table, with a small
    encoder, since the memory of a long table does not come from the encoder; and with `base`.
    """
    small = ["--config.model.width=16", "--config.model.heads=2"] if tiny else []
    train = [*MAIN, f"--config={ROOT}/configs/pretrain_macho.py:paper", "--config.batch_size=64"]
    train += ["--config.steps=1", "--config.eval_every=1", "--config.eval_windows=64", *small]
    train += [
        "--config.data.simulate.stars=200",
        "--config.data.noise_cut=",
        "--config.log_every=1",
    ]
    with tempfile.TemporaryDirectory() as folder:
        told: dict[str, Any] = {
            "python_seconds": min(fresh(["-c", "pass"])[0] for _ in range(5)),
            "import_seconds": min(fresh(["-c", "import astro_jax"])[0] for _ in range(5)),
            "help_seconds": min(fresh([*MAIN, "--help"])[0] for _ in range(5)),
        }
        first = fresh([*train, f"--workdir={folder}/a"], ROOT)
        again = fresh([*train, f"--workdir={folder}/b"], ROOT)
        told |= {"first_run_seconds": first[0], "second_run_seconds": again[0]}
        fresh(["-c", SMALL, f"{folder}/small.safetensors"])
        small = f"{folder}/small.safetensors"
        sizes = [(50, small), (100, small)] if tiny else [(5_000, small), (50_000, small)]
        told["peak_mib"] = {
            f"{count} curves": embedding_peak(Path(folder), count, init) for count, init in sizes
        }
        shipped = embedding_peak(Path(folder), 50 if tiny else 500, "base")
        told["peak_mib"]["base"] = shipped
    return told


def embedding_peak(folder: Path, count: int, init: str) -> int:
    """Return the peak memory, MiB, of the command that embeds `count` curves of 200 points."""
    path = folder / f"{count}.parquet"
    fresh(["-c", LONG, str(path), str(count)])
    words = [f"--config.data.path={path}", f"--config.output={folder}/out.parquet"]
    config = f"--config={ROOT}/configs/embed.py"
    return fresh([*MAIN, config, f"--config.init={init}", *words], ROOT)[1]
