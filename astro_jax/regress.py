"""The job of regression: a number of each star, such as its log period, from its light curve."""

from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from astro_jax.checks import check_head
from astro_jax.classify import count_stars, run_task, sizes
from astro_jax.data.curves import Curves
from astro_jax.data.periods import candidate_periods
from astro_jax.data.split import star_places
from astro_jax.data.table import write_parquet
from astro_jax.evals.baselines import forest_regressor, line_through
from astro_jax.models.period_forest import CLOSE
from astro_jax.prediction import Predictions, pooled_outputs, prediction_table
from astro_jax.report import scatter_plot, text_table
from astro_jax.report_run import REPORT
from astro_jax.shown import show_values
from astro_jax.supervised import Task, value_task
from astro_jax.train import Outcome
from astro_jax.weights import load


def run(config: ConfigDict, workdir: Path) -> int:
    """Train a regression; return the exit code: 0 done, 75 stopped with the state saved."""
    chosen = {"check": check_head, "show": show_values}
    return run_task(config, workdir, value_task, finish, describe, **chosen)


def finish(config: ConfigDict, task: Task, outcome: Outcome, workdir: Path) -> dict[str, Any]:
    """Score the best step on the test stars, beside the baselines; draw and write predictions."""
    truth = task.test.arrays["target"].astype(float)
    predicted = pooled_outputs(load(workdir), task.test, ready=True)[0][:, 0]
    told = {
        "target": task.facts["target"],
        "stars": count_stars(task),
        "model": errors(predicted, truth, task.test.star),
    }
    record = Predictions(
        task.test.columns["id"].to_pylist(), predicted, np.zeros((len(truth), 0)), []
    )
    table = prediction_table(task.test, record).append_column("target", [truth])
    write_parquet(table, str(workdir / "test_predictions.parquet"))
    scatter_plot(workdir / "predicted.png", truth, predicted, task.facts["target"], workdir.name)
    return {**told, **(baselines(config, task) if config.baselines else {})}


def errors(
    predicted: np.ndarray, truth: np.ndarray, star: np.ndarray | None = None
) -> dict[str, Any]:
    """Return RMSE with its 95 % bootstrap interval, median error, R2, and the share within 0.01.

    star: [N], drawn whole for the interval: its rows are bands of one star
    """
    error = predicted - truth
    place = np.arange(len(error)) if star is None else star_places(star)
    square, count = np.bincount(place, error**2), np.bincount(place)
    draws = np.random.default_rng(0).integers(0, len(count), (1000, len(count)))
    drawn = np.sqrt(square[draws].sum(1) / count[draws].sum(1))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {
        "rmse": float(np.sqrt((error**2).mean())),
        "rmse_interval": [float(low), float(high)],
        "median_error": float(np.median(np.abs(error))),
        "r2": float(1 - (error**2).sum() / max(((truth - truth.mean()) ** 2).sum(), 1e-12)),
        "within_0.01": float((np.abs(error) < CLOSE).mean()),
    }


def baselines(config: ConfigDict, task: Task) -> dict[str, Any]:
    """Return the errors of a forest on features, a line through the best period, and the mean."""
    from astro_jax.evals.features import features

    known = [task.train, task.valid]
    target = np.concatenate([part.arrays["target"] for part in known]).astype(float)
    truth = task.test.arrays["target"].astype(float)
    table = np.concatenate([features(part)[1] for part in known])
    forest = forest_regressor(table, target, features(task.test)[1], config.seed)
    period = np.concatenate([log_period(part) for part in known])
    line = line_through(period, target, log_period(task.test))
    predicted = {
        "features + random forest": forest,
        "periodogram alone": line,
        "mean": np.full(len(truth), target.mean()),
    }
    return {name: errors(values, truth, task.test.star) for name, values in predicted.items()}


def log_period(curves: Curves) -> np.ndarray:
    """Return log10 of the best estimated period (days), that of the time span where none is."""
    period = candidate_periods(curves, 1).periods[:, 0]
    span = curves.time[curves.offsets[1:] - 1] - curves.time[curves.offsets[:-1]]
    return np.log10(np.where(np.isfinite(period), period, np.maximum(span, 1.0)))


def describe(result: dict, workdir: Path) -> str:
    """Return the closing text of a run."""
    rows = [
        {
            f"{result['target']} on test stars": name,
            "RMSE": part["rmse"],
            "95 %": "{:.3f}-{:.3f}".format(*part["rmse_interval"]),
            "median error": part["median_error"],
            "R2": part["r2"],
            "within 0.01": part["within_0.01"],
        }
        for name, part in result.items()
        if isinstance(part, dict) and "rmse" in part
    ]
    return (
        f"{text_table(rows)}\n{sizes(result)}; best step {result['best_step']}; "
        f"the report is {workdir / REPORT}"
    )
