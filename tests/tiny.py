"""Runs that are small enough for a test, and a process that runs the command line."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
from ml_collections import ConfigDict

from astro_jax.data.curves import Curves, from_arrays

ROOT = Path(__file__).parents[1]
PRETRAIN = f"--config={ROOT / 'configs' / 'pretrain_macho.py'}"
WIDTH, WINDOW = 16, 32
TINY_MODEL = [
    f"--config.model.width={WIDTH}",
    "--config.model.heads=2",
    "--config.model.ffn=16",
    "--config.model.blocks=1",
    f"--config.window={WINDOW}",
    "--config.batch_size=8",
    "--config.eval_windows=8",
]
TINY = [
    *TINY_MODEL,
    "--config.steps=4",
    "--config.eval_every=2",
    "--config.log_every=1",
    "--config.data.simulate.stars=8",
]


def environment(cache: Path) -> dict[str, str]:
    """Return an environment in which processes share their compiled programs."""
    return {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONUNBUFFERED": "1",
    }


def on_devices(script: str, folder: Path, count: int) -> dict[str, dict[str, np.ndarray]]:
    """Run a test file as a script that sees `count` devices; return what it saved, by file name."""
    flags = f"--xla_force_host_platform_device_count={count}"
    here = os.pathsep.join([str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split()])
    env = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": here}
    words = [sys.executable, script, str(folder)]
    done = subprocess.run(words, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}


def start(arguments: list[str], cwd: Path, env: Mapping[str, str]) -> subprocess.Popen:
    """Start `python -m astro_jax.main` with its output in pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "astro_jax.main", *arguments],
        cwd=cwd,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def call(arguments: list[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess:
    """Run `python -m astro_jax.main` to its end."""
    process = start(arguments, cwd, env)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def toy_curves(count: int, points: int = 60, seed: int = 0) -> list[np.ndarray]:
    """Return slow sinusoids, [points, 3]: time (MJD), magnitude, error."""
    rng = np.random.default_rng(seed)
    curves = []
    for _ in range(count):
        time = 50_000 + np.sort(rng.uniform(0, 400, points))
        phase = 2 * np.pi * (time / rng.uniform(100, 300) + rng.uniform())
        mag = 15 + rng.uniform(0.2, 1.0) * np.sin(phase) + 0.02 * rng.normal(size=points)
        curves.append(np.stack([time, mag, np.full(points, 0.02)], axis=1))
    return curves


LABELLED = [
    *(word for word in TINY if ".model." not in word and "simulate" not in word),
    "--config.steps=12",
    "--config.eval_every=4",
    "--config.eval_windows=0",
]
CLASSIFY = [*LABELLED, "--config.data.min_class=10", "--config.per_class=10"]


def labelled_survey(stars: int = 50, points: int = 40, seed: int = 0) -> Curves:
    """Return the curves of three classes with so many stars each, shuffled, and a few others.

    fast, slow and flat differ in period and amplitude; 3 stars are "rare", 2 have no label. Ids
    are beyond what a float64 can hold; period, ra, dec, n_obs and label are columns.
    """
    rng = np.random.default_rng(seed)
    kinds = {"fast": (0.4, 0.5), "slow": (150.0, 0.5), "flat": (1.0, 0.0), "rare": (9.0, 1.0)}
    labels = [*("fast", "slow", "flat") * stars, *["rare"] * 3, None, None]
    curves, periods = [], []
    for label in labels:
        period, amplitude = kinds[label or "rare"]
        period *= rng.uniform(0.8, 1.25)
        time = 50_000 + np.sort(rng.uniform(0, 400, points))
        mag = 15 + amplitude * np.sin(2 * np.pi * time / period) + 0.02 * rng.normal(size=points)
        curves.append(np.stack([time, mag, np.full(points, 0.02)], axis=1))
        periods.append(period if amplitude else None)
    order = rng.permutation(len(curves))
    return from_arrays(
        [curves[k] for k in order],
        ids=(2**53 + 1 + 2 * order).tolist(),
        label=[labels[k] for k in order],
        period=[periods[k] for k in order],
        ra=rng.uniform(0, 360, len(order)),
        dec=rng.uniform(-90, 90, len(order)),
        n_obs=np.full(len(order), points, np.int32),
    )


def config_module(stem: str) -> ModuleType:
    """Return the module of a config file."""
    where = importlib.util.spec_from_file_location(stem, ROOT / "configs" / f"{stem}.py")
    module = importlib.util.module_from_spec(where)
    where.loader.exec_module(module)
    return module


def config_of(name: str) -> ConfigDict:
    """Return the config of "classify:mlp_att" and the like."""
    stem, _, variant = name.partition(":")
    module = config_module(stem)
    return module.get_config(variant) if variant else module.get_config()
