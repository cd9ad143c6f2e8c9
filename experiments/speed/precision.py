"""bfloat16 against float32: the embeddings and the validation error of shipped weights.

    python experiments/speed/precision.py [--windows=256]

On the fifth of the stars of the shared surveys that no pre-training saw: the cosine between the
mean vectors of each curve in both types, and the RMSE at hidden points, the same points in both.
Writes precision.json.  With `--steps=N` it also trains the recommended network for N steps in both
types from one seed, on simulated curves.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import jax
import measure
import numpy as np
from absl import app, flags
from systems import config_of

import astro_jax
from astro_jax.data.pipeline import eval_batches, spread
from astro_jax.data.read import read_survey
from astro_jax.data.source import load_parts
from astro_jax.data.split import star_position
from astro_jax.data.windows import consecutive_windows
from astro_jax.evals.reconstruction import model_predictor, rmse, score
from astro_jax.infer import mean_vectors
from astro_jax.nn.precision import with_settings
from astro_jax.summary import read_metrics
from astro_jax.train import train

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("ASTRO_JAX_SHARED", "../shared")) / "data" / "variable_stars"
SURVEYS = ("asas", "crts", "eros1", "macho", "ogle3_lmc")
HELD_OUT = 0.8  # of `base`: stars behind it were kept from all training
flags.DEFINE_integer("windows", 256, "windows of each survey")
flags.DEFINE_integer("steps", 0, "steps of the two trainings; 0: none")
FLAGS = flags.FLAGS
TYPES = ("float32", "bfloat16")


def of_survey(run: Any, path: Path) -> dict[str, float]:
    """Return the cosines of curves and the errors of both types on one survey."""
    curves, _ = read_survey(str(path))
    curves = curves.take((star_position(curves.star) >= HELD_OUT) & (curves.lengths >= 20))
    windows = spread(consecutive_windows(curves.lengths, run.config.window), FLAGS.windows)
    shown = curves.take(np.unique(windows.curve))
    runs = {name: run._replace(model=with_settings(run.model, dtype=name)) for name in TYPES}
    exact, rough = (mean_vectors(runs[name], shown) for name in TYPES)
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(rough, axis=1)
    cosine = (exact * rough).sum(1) / lengths
    batches = eval_batches(curves, windows, 16, run.config.window)
    predictors = {n: model_predictor(r.model.apply, r.params) for n, r in runs.items()}
    errors = score(predictors, batches, jax.random.key(0))
    return {
        "curves": len(shown),
        "cosine_above_0.999": float((cosine > 0.999).mean()),
        "smallest_cosine": float(cosine.min()),
        **{f"rmse_{name}": float(rmse(error)) for name, error in errors.items()},
    }


def trainings(steps: int) -> dict[str, float]:
    """Return the validation error after so many steps in both types."""
    found = {}
    for name in TYPES:
        config = config_of("pretrain_macho")
        config.update({"steps": steps, "eval_every": steps, "dtype": name, "micro_batch": 16})
        parts = load_parts(config)
        with tempfile.TemporaryDirectory() as folder:
            train(config, parts.train, parts.valid, Path(folder))
            rows = read_metrics(Path(folder) / "metrics.jsonl")
        found[f"rmse_{name}"] = [r["rmse_hidden"] for r in rows if r["split"] == "valid"][-1]
    return {"steps": steps, **found}


def main(_: list[str]) -> None:
    """Measure, print, write."""
    run = astro_jax.load("base")
    told: dict[str, Any] = {"machine": measure.machine(), "surveys": {}}
    for name in SURVEYS:
        told["surveys"][name] = of_survey(run, SHARED / f"{name}.parquet")
        print(name, told["surveys"][name], flush=True)
    if FLAGS.steps:
        told["training"] = trainings(FLAGS.steps)
        print(told["training"])
    (HERE / "precision.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
