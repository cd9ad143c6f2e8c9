"""The job of classifying transients: a base on simulations, or transfer to a survey."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from astro_jax.classify import run_task
from astro_jax.classify_objects import write_predictions
from astro_jax.data.transient_rows import Rows
from astro_jax.evals import auroc
from astro_jax.evals.baselines import majority_class, random_forest
from astro_jax.evals.calibration import fit_temperature, softmax
from astro_jax.evals.classification import reliability, scores
from astro_jax.evals.outliers import describe_latents
from astro_jax.report import calibration_plot, confusion_plot, line_plot, text_table
from astro_jax.report_run import REPORT
from astro_jax.shown import show_transients
from astro_jax.supervised import Task, keep_facts, resolve_config
from astro_jax.train import Outcome, train
from astro_jax.transient_prediction import network_outputs, redshift_known
from astro_jax.transient_task import FEED, hide, transient_task
from astro_jax.weights import Run, load
from astro_jax.workdir import claim, write_text

DAYS = (0.0, 3.0, 7.0, 15.0, 30.0, 70.0)  # since the trigger, at which classes are scored


def run(config: ConfigDict, workdir: Path) -> int:
    """Train a classifier of transients; return the exit code: 0 done, 75 stopped and saved."""
    return run_task(config, workdir, transient_task, finish, describe, FEED, show=show_transients)


def finish(config: ConfigDict, task: Task, outcome: Outcome, workdir: Path) -> dict[str, Any]:
    """Calibrate the best step on validation objects, score it on test objects, draw."""
    write_text(workdir / "calibration.json", json.dumps(calibrate(load(workdir), task)) + "\n")
    trained, classes = load(workdir), task.facts["classes"]
    part = "test" if len(task.test) else "valid"
    rows = getattr(task, part)
    labels = rows.arrays["label"]
    logits = network_outputs(trained, rows)["logits"]
    probabilities = softmax(logits, trained.config.temperature)
    told = {
        "classes": classes,
        "scored_on": part,
        "temperature": trained.config.temperature,
        "redshift_known": int(redshift_known(trained, rows).sum()),
        "model": score(probabilities, labels, classes, config.seed)
        | {"calibration_error_before": auroc.calibration_error(softmax(logits), labels)},
        "by_day": by_day(trained, rows, classes),
    }
    if redshift_known(trained, rows).any():
        blind = network_outputs(trained, hide(rows, trained.config.metadata, ["redshift"]))
        without = softmax(blind["logits"], trained.config.temperature)
        told["model, redshift hidden"] = score(without, labels, classes, config.seed)
    draw(workdir, probabilities, softmax(logits), labels, classes, told["by_day"])
    write_predictions(workdir / "test_predictions.parquet", rows, probabilities, classes)
    return {**told, **(baselines(config, task, rows) if config.baselines else {})}


def calibrate(trained: Run, task: Task) -> dict[str, Any]:
    """Return the temperature from the validation objects and the latents of those of training."""
    valid, seen = (network_outputs(trained, rows) for rows in (task.valid, task.train))
    latents = describe_latents(
        seen["embedding"], task.train.arrays["label"], others=valid["embedding"]
    )
    temperature = fit_temperature(valid["logits"], task.valid.arrays["label"])
    return {"temperature": temperature, "outlier": latents._asdict()}


def score(
    probabilities: np.ndarray, labels: np.ndarray, classes: list[str], seed: int
) -> dict[str, Any]:
    """Return AUROC with intervals, macro-F1, accuracy and calibration error as plain numbers."""
    ranked = auroc.summary(auroc.aurocs(probabilities, labels, classes, seed))
    counted = scores(probabilities, labels, classes, seed)
    return {
        **ranked,
        "macro_f1": counted.macro_f1,
        "accuracy": counted.accuracy,
        "calibration_error": auroc.calibration_error(probabilities, labels),
        "confusion": counted.confusion.tolist(),
    }


def by_day(trained: Run, rows: Rows, classes: list[str]) -> dict[str, list[float]]:
    """Return macro AUROC and its interval with what was known on each of DAYS."""
    found = {}
    for day in DAYS:
        logits = network_outputs(trained, rows, limit=day)["logits"]
        result = auroc.aurocs(softmax(logits), rows.arrays["label"], classes, draws=200)
        found[f"{day:g}"] = [result.macro, *result.intervals["macro"].tolist()]
    return found


def draw(
    workdir: Path,
    probabilities: np.ndarray,
    before: np.ndarray,
    labels: np.ndarray,
    classes: list[str],
    days: dict[str, list[float]],
) -> None:
    """Draw the confusion matrix, the calibration before and after, and AUROC by day."""
    counted = scores(probabilities, labels, classes)
    confusion_plot(workdir / "confusion.png", counted.confusion, classes, workdir.name)
    curves = {"before": reliability(before, labels), "after": counted.reliability}
    calibration_plot(workdir / "calibration.png", curves, workdir.name)
    points = [(float(day), *values) for day, values in days.items()]
    told = "days since the trigger", "macro AUROC"
    line_plot(workdir / "early.png", {"model": points}, *told, workdir.name, "linear")


def baselines(config: ConfigDict, task: Task, rows: Rows) -> dict[str, Any]:
    """Return the scores of what a network must beat, with the same labels and objects.

    The forests and the majority learn from training and validation objects, since they stop by
    nothing; the untrained network is the same one, drawn from the seed.
    """
    classes = task.facts["classes"]
    labels, known = rows.arrays["label"], [task.train, task.valid]
    codes = np.concatenate([part.arrays["label"] for part in known])
    told = {}
    for suffix, name in (("", "features"), (", no redshift", "features_no_redshift")):
        table = np.concatenate([part.arrays[name] for part in known])
        forest = random_forest(table, codes, rows.arrays[name], len(classes), config.seed)
        told[f"features + random forest{suffix}"] = score(forest, labels, classes, config.seed)
    majority = majority_class(codes, len(rows), len(classes))
    told["majority class"] = score(majority, labels, classes, config.seed)
    if config.init:
        told["same network, untrained"] = score(
            untrained(config, task, rows), labels, classes, config.seed
        )
    return told


def untrained(config: ConfigDict, task: Task, rows: Rows) -> np.ndarray:
    """Return the probabilities of the same network, trained from the seed instead of the base."""
    facts = {**task.facts, "model": {**task.facts["model"], "leaves": []}}
    full = resolve_config(config, facts)
    full.init = ""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        claim(where, json.loads(full.to_json()))
        keep_facts(where, facts)
        if train(full, task.train, task.valid, where, feed=FEED).stopped:
            raise KeyboardInterrupt  # as in `main`: the same command goes on from there
        return softmax(network_outputs(load(where), rows)["logits"])


def describe(result: dict, workdir: Path) -> str:
    """Return the closing text of a run."""
    rows = [
        {
            f"on {result['scored_on']} objects": name,
            "macro AUROC": part["macro_auroc"],
            "95 %": "{:.3f}-{:.3f}".format(*part["macro_auroc_interval"]),
            "macro-F1": part["macro_f1"],
            "accuracy": part["accuracy"],
            "calibration error": part["calibration_error"],
        }
        for name, part in result.items()
        if isinstance(part, dict) and "macro_auroc" in part
    ]
    each = ", ".join(
        f"{name} {found['objects']}" for name, found in result["model"]["classes"].items()
    )
    objects = result["objects"]
    days = ", ".join(f"{day} d {value[0]:.3f}" for day, value in result["by_day"].items())
    return (
        f"{text_table(rows)}\nscored: {each}; redshift known of {result['redshift_known']}\n"
        f"macro AUROC by days since the trigger: {days}\n{objects['train']} objects to train, "
        f"{objects['valid']} to validate, {objects['test']} to test; best step "
        f"{result['best_step']}, {result['epochs']} epochs; the report is {workdir / REPORT}"
    )
