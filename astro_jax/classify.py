"""The job of classification: a fold of the few-label protocol, training, scores, baselines."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from astro_jax.checks import check_head, check_training
from astro_jax.data.curves import Curves
from astro_jax.data.inputs import VECTORS
from astro_jax.data.pipeline import WINDOWS, Feed
from astro_jax.data.source import announce
from astro_jax.data.table import write_parquet
from astro_jax.errors import STOPPED
from astro_jax.evals.baselines import majority_class, random_forest
from astro_jax.evals.classification import Scores, scores, summary, vote_windows
from astro_jax.grown import Grown, plant
from astro_jax.prediction import Predictions, pooled_outputs, prediction_table
from astro_jax.pretrain import estimate
from astro_jax.quantiles import keep_quantiles
from astro_jax.report import calibration_plot, confusion_plot, text_table, training_plot
from astro_jax.report_run import REPORT, close_run
from astro_jax.shown import Shown, show_classes
from astro_jax.summary import read_metrics
from astro_jax.supervised import Task, class_task, encoder_run, keep_facts, resolve_config
from astro_jax.train import Outcome, passes, train
from astro_jax.weights import Run, load
from astro_jax.workdir import claim, clocked, locked, read_json, write_text

Job = Callable[[ConfigDict, Task, Outcome, Path], dict[str, Any]]


def run(config: ConfigDict, workdir: Path) -> int:
    """Train a classifier; return the exit code: 0 done, 75 stopped with the state saved."""
    return run_task(config, workdir, class_task, finish, describe, check=check_head)


def run_task(
    config: ConfigDict,
    workdir: Path,
    task_of: Callable[[ConfigDict], Task],
    finish: Job,
    describe: Callable[[dict, Path], str],
    feed: Feed = WINDOWS,
    check: Callable[[ConfigDict], None] = check_training,
    params_of: Callable[[ConfigDict], Any] = lambda config: None,
    show: Callable[[Task, Path, int], Shown] = show_classes,
) -> int:
    """Read, train and report a task: what all jobs with labels, and those on objects, share.

    feed: what makes batches of the parts of the task; check: raises UserError for a config that
    cannot be; params_of: what training starts from, see `train.assemble`; show: what the report
    shows of objects, from task, workdir and seed
    """
    check(config)
    if config.dry_run:
        print(announce(config), flush=True)
        task = task_of(config)
        print(task.ledger.summary())
        full = resolve_config(config, task.facts)
        print(
            grown_size(task.grown) if task.grown else estimate(full, task, feed, params_of(config))
        )
        return 0
    with locked(workdir), clocked(workdir) as seconds:
        claim(workdir, json.loads(config.to_json()))
        print(announce(config), flush=True)
        if (workdir / "summary.json").exists():
            print(f"{workdir} is finished; nothing to train")
            print(describe(read_json(workdir / "summary.json"), workdir))
            return 0
        task = task_of(config)
        print(task.ledger.summary(), flush=True)
        task.ledger.write(str(workdir / "quarantine.csv"))
        keep_facts(workdir, task.facts)
        keep_quantiles(workdir, task.train)
        full = resolve_config(config, task.facts)
        outcome = fit_task(full, task, workdir, feed, params_of(config))
        if outcome.stopped:
            print(f"stopped at step {int(outcome.state.step)}; the same command goes on from there")
            return STOPPED
        result = {
            "best_step": outcome.control.best_step,
            "epochs": passes(outcome.control.best_step, config.batch_size, len(task.train)),
            "seconds": round(seconds(), 1),  # of all starts, reading included
            "objects": {part: len(getattr(task, part)) for part in ("train", "valid", "test")},
            "left_out": {drop.reason: drop.objects for drop in task.ledger.drops},
            **finish(config, task, outcome, workdir),
        }
        training_plot(
            workdir / "training.png", read_metrics(workdir / "metrics.jsonl"), workdir.name, "loss"
        )
        text = describe(result, workdir)
        close_run(workdir, full, result, text, partial(show, task, workdir, config.seed))
        write_text(workdir / "summary.json", json.dumps(result, indent=1) + "\n")
        print(text)
    return 0


def fit_task(
    config: ConfigDict, task: Task, workdir: Path, feed: Feed = WINDOWS, params: Any = None
) -> Outcome:
    """Train the model of a resolved config, or keep the head that was grown."""
    if task.grown:
        return plant(task.grown, encoder_run(config, task.facts["model"]), workdir)
    return train(config, task.train, task.valid, workdir, params=params, feed=feed)


def grown_size(grown: Grown) -> str:
    """Return a line on a forest, for a dry run."""
    size = sum(value.size for value in jax.tree.leaves(grown.params))
    return f"{grown.head.trees} trees, {size:,} numbers in the head; no step of training"


def finish(config: ConfigDict, task: Task, outcome: Outcome, workdir: Path) -> dict[str, Any]:
    """Score the best step on the test objects, beside the baselines; draw and write predictions."""
    trained, classes = load(workdir), task.facts["classes"]
    labels, star = task.test.arrays["label"], task.test.star
    probabilities, (windows, curve) = pooled_outputs(trained, task.test, ready=True)
    result = scores(probabilities, labels, classes, config.seed, star)
    votes = vote_windows(windows, curve, len(task.test))
    voted = scores(votes, labels, classes, config.seed, star)
    single = scores(windows, labels[curve], classes, config.seed, star[curve])
    confusion_plot(workdir / "confusion.png", result.confusion, classes, workdir.name)
    calibration_plot(workdir / "calibration.png", {"model": result.reliability}, workdir.name)
    write_predictions(workdir / "test_predictions.parquet", task.test, probabilities, classes)
    told = {
        "classes": classes,
        "stars": count_stars(task),
        "model": summary(result),
        "model, windows voted": _short(voted),
        "model, per window": _short(single),
    }
    return {**told, **(baselines(config, task, trained) if config.baselines else {})}


def count_stars(task: Task) -> dict[str, int]:
    """Return the number of stars of each part, of which each may have a row a band."""
    parts = {"train": task.train, "valid": task.valid, "test": task.test}
    return {name: len(set(part.star.tolist())) for name, part in parts.items()}


def sizes(result: dict) -> str:
    """Return the sizes of the parts in words, with those in stars where they differ."""
    told, stars = result["objects"], result["stars"]
    words = "{train} objects to train, {valid} to validate, {test} to test"
    return words.format(**told) + (
        "" if stars == told else " (stars: {train}, {valid}, {test})".format(**stars)
    )


def write_predictions(path: Path, test: Curves, probabilities: np.ndarray, classes: list) -> None:
    """Write the predictions of the test objects with their true class, as Parquet."""
    names = [classes[k] for k in probabilities.argmax(1)]
    ids = test.columns["id"].to_pylist()
    table = prediction_table(test, Predictions(ids, names, probabilities, classes))
    truth = [[classes[k] for k in test.arrays["label"]]]
    write_parquet(table.append_column("label", truth), str(path))


def baselines(config: ConfigDict, task: Task, trained: Run) -> dict[str, Any]:
    """Return the scores of what a model must beat, on the same labels and test objects.

    The forest and the majority learn from the training and the validation objects, since they stop
    by nothing; the untrained network is the same one with its encoder as drawn from the seed, its
    head trained on the same labels.
    """
    from astro_jax.evals.features import features

    classes, count = task.facts["classes"], len(task.facts["classes"])
    known = [task.train, task.valid]
    codes = np.concatenate([part.arrays["label"] for part in known])
    table = np.concatenate([features(part)[1] for part in known])
    truth, star = task.test.arrays["label"], task.test.star
    forest = random_forest(table, codes, features(task.test)[1], count, config.seed)
    most = majority_class(codes, len(truth), count)
    told = {
        "features + random forest": summary(scores(forest, truth, classes, config.seed, star)),
        "majority class": _short(scores(most, truth, classes, config.seed, star)),
    }
    if config.init and task.facts["model"]["encoder"]:
        told["same network, encoder untrained"] = _short(untrained(config, task))
    return told


def untrained(config: ConfigDict, task: Task) -> Scores:
    """Return the scores of the same network whose encoder starts from the seed."""
    import tempfile

    full = resolve_config(config, task.facts)
    full.init = ""
    if any(name == VECTORS for name in config.inputs.values()):
        task = class_task(full)
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        claim(where, json.loads(full.to_json()))
        keep_facts(where, task.facts)
        if fit_task(full, task, where).stopped:
            raise KeyboardInterrupt  # as in `main`: the same command goes on from there
        probabilities, _ = pooled_outputs(load(where), task.test, ready=True)
    truth, star = task.test.arrays["label"], task.test.star
    return scores(probabilities, truth, task.facts["classes"], config.seed, star)


def _short(result: Scores) -> dict[str, Any]:
    return {k: v for k, v in summary(result).items() if k not in ("classes", "confusion")}


def describe(result: dict, workdir: Path) -> str:
    """Return the closing text of a run."""
    rows = [
        {
            "on test objects": name,
            "macro-F1": part["macro_f1"],
            "95 %": "{:.3f}-{:.3f}".format(*part["macro_f1_interval"]),
            "accuracy": part["accuracy"],
            "calibration error": part["calibration_error"],
        }
        for name, part in result.items()
        if isinstance(part, dict) and "macro_f1" in part
    ]
    return (
        f"{text_table(rows)}\n{len(result['classes'])} classes; {sizes(result)}; best step "
        f"{result['best_step']}, {result['epochs']} epochs; the report is {workdir / REPORT}"
    )
