"""The job of classification from any modalities, with or without contrastive pre-training."""

from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ml_collections import ConfigDict

from astro_jax.classify import run_task
from astro_jax.data.multimodal import Objects
from astro_jax.data.multimodal_batches import OBJECTS
from astro_jax.evals.classification import scores, summary
from astro_jax.multimodal_infer import class_probabilities
from astro_jax.multimodal_task import check_epochs, object_task, start_params
from astro_jax.report import calibration_plot, confusion_plot, text_table
from astro_jax.report_run import REPORT
from astro_jax.shown import show_objects
from astro_jax.supervised import Task
from astro_jax.train import Outcome
from astro_jax.weights import Run, load


def run(config: ConfigDict, workdir: Path) -> int:
    """Train a classifier; return the exit code: 0 done, 75 stopped with the state saved."""
    return run_task(
        config,
        workdir,
        object_task,
        finish,
        describe,
        OBJECTS,
        check_epochs,
        start_params,
        show_objects,
    )


def finish(config: ConfigDict, task: Task, outcome: Outcome, workdir: Path) -> dict[str, Any]:
    """Score the best step on the test objects, for each subset of modalities; write predictions."""
    trained, classes, seed = load(workdir), task.facts["classes"], config.seed
    known = task.test.arrays["label"] >= 0
    test = task.test.take(known)
    probabilities, _ = class_probabilities(trained, test)
    some = np.isfinite(probabilities).all(1)
    labels = test.arrays["label"]
    result = scores(probabilities[some], labels[some], classes, seed)
    confusion_plot(workdir / "confusion.png", result.confusion, classes, workdir.name)
    calibration_plot(workdir / "calibration.png", {"model": result.reliability}, workdir.name)
    write_predictions(workdir / "test_predictions.parquet", test, probabilities, classes)
    told = {
        "best_step": trained.step,
        "epochs": round(trained.step / task.facts["changes"]["eval_every"], 2),
        "classes": classes,
        "model": summary(result),
    }
    for names in subsets(trained, test):
        few = test.without(*(set(test.parts) - set(names)))
        part, _ = class_probabilities(trained, few)
        there = np.isfinite(part).all(1)
        if there.any():
            scored = scores(part[there], labels[there], classes, seed)
            told[" + ".join(names)] = summary(scored)
    return told


def subsets(trained: Run, test: Objects) -> list[tuple[str, ...]]:
    """Return the proper subsets of modalities that a run of several can classify from."""
    if "modality" in trained.config.model:
        return []
    names = [name for name in trained.config.modalities if name in test.parts]
    return list(chain.from_iterable(combinations(names, k) for k in range(1, len(names))))


def write_predictions(
    path: Path, test: Objects, probabilities: np.ndarray, classes: list[str]
) -> None:
    """Write the predictions of the test objects with their label, as Parquet."""
    safe = np.nan_to_num(probabilities, nan=-1.0)
    columns: dict[str, Any] = {
        "id": test.columns["id"],
        "prediction": [classes[k] for k in safe.argmax(1)],
        "label": [classes[k] for k in test.arrays["label"]],
    }
    for name, column in zip(classes, probabilities.T, strict=True):
        columns[f"prob_{name}"] = column
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(pa.table(columns), temporary)
    temporary.replace(path)


def describe(result: dict, workdir: Path) -> str:
    """Return the closing text of a run."""
    rows = [
        {
            "on test objects": name,
            "accuracy": part["accuracy"],
            "balanced": float(np.mean([c["recall"] for c in part["classes"].values()
                                       if c["objects"]])),
            "macro-F1": part["macro_f1"],
            "objects": part["objects"],
        }
        for name, part in result.items()
        if isinstance(part, dict) and "macro_f1" in part
    ]  # fmt: skip
    objects = result["objects"]
    return (
        f"{text_table(rows)}\n{len(result['classes'])} classes; {objects['train']} objects to "
        f"train, {objects['valid']} to validate; best step {result['best_step']}, "
        f"{result['epochs']} epochs; the report is {workdir / REPORT}"
    )
