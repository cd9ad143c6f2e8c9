"""The job of a learning curve: a base, a target, methods, numbers of labels, seeds.

Each fit is a line of `fits.jsonl` in the folder of the run; a run that was stopped goes on with the
fits that are missing. The test objects are the same for all of them.
"""

import json
import logging
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from astro_jax import checkpoint, transient_training
from astro_jax.checks import check_training
from astro_jax.data.ledger import Ledger
from astro_jax.data.source import announce
from astro_jax.data.split import star_position
from astro_jax.data.transient_source import load_transients
from astro_jax.data.transients import Transients
from astro_jax.errors import STOPPED, UserError, suggest
from astro_jax.evals import auroc
from astro_jax.evals.calibration import softmax
from astro_jax.evals.transfer import proxy_distance
from astro_jax.evals.transient_features import UNKNOWN, transient_features
from astro_jax.learning_summary import describe, draw, summarise
from astro_jax.report_run import close_run
from astro_jax.spec import build
from astro_jax.summary import read_metrics
from astro_jax.supervised import Task, resolve_config
from astro_jax.train import assemble, passes, train
from astro_jax.transient_prediction import network_outputs
from astro_jax.transient_task import FEED, drawn_task, labelled
from astro_jax.weights import Run, load
from astro_jax.workdir import claim, locked, write_text

EVALUATIONS = 100  # at most, of a fit that is not stopped by them: they only show its course
RESAMPLED = 200  # draws of the test objects
COMPARED = 1000  # objects of base and target, to tell them apart


def run(config: ConfigDict, workdir: Path) -> int:
    """Measure a learning curve; return the exit code: 0 done, 75 stopped, to go on from there."""
    fits = fits_of(config)
    with locked(workdir):
        claim(workdir, json.loads(config.to_json()))
        base = base_of(config, workdir)
        if base is None:
            return STOPPED
        print(announce(config), flush=True)
        target = labelled(*load_transients(config), config.data)
        print(target[2].summary(), flush=True)
        check_sizes(config, target[0])
        try:
            for method, size, seed in missing(config, workdir):
                record = measure(fits[method], size, seed, base, target)
                append(workdir / "fits.jsonl", {"method": method, **record})
                print(f"{method}, {size} labels, seed {seed}: {record['macro_auroc']:.4f}")
        except KeyboardInterrupt:
            print("stopped; the same command goes on with the fits that are missing")
            return STOPPED
        lines = read_metrics(workdir / "fits.jsonl")
        result = summarise(lines, list(config.methods))
        result["distance"] = distance(config, target[0])
        draw(workdir, result)
        close_run(workdir, config, result, describe(result, workdir))
        write_text(workdir / "summary.json", json.dumps(result, indent=1) + "\n")
        print(describe(result, workdir))
    return 0


def fits_of(config: ConfigDict) -> dict[str, ConfigDict]:
    """Return the config of each method, with the data of the target; UserError for what cannot be.

    `config.window` is that of all of them: the most observations of a transient.
    """
    found = {}
    for method in config.methods:
        if method not in config.fits:
            raise UserError(f"no method '{method}'{suggest(method, config.fits)}")
        fit = ConfigDict(json.loads(config.fits[method].to_json()))
        own = {"seed": config.seed, "init": config.init, "labels": 0, "baselines": False}
        fit.update({"data": config.data, "window": config.window, **own})
        check_training(fit)
        found[method] = fit
    return found


def check_sizes(config: ConfigDict, target: Transients) -> None:
    """Raise UserError for a size that takes labels from the test part, which is one for all."""
    outside = int((star_position(target.star.astype(str)) < 1 - config.data.test).sum())
    if max(config.sizes) > outside:
        raise UserError(
            f"config.sizes={max(config.sizes)}: {outside} labels lie outside of the test part, "
            "which is the same for all sizes; give fewer, or lower config.data.test"
        )


def base_of(config: ConfigDict, workdir: Path) -> str | None:
    """Return the run to start from: `config.init`, or one that is trained here; None if stopped."""
    if config.init:
        load(config.init)
        return config.init
    stopped = transient_training.run(config.base, workdir / "base")
    return None if stopped else str(workdir / "base")


def missing(config: ConfigDict, workdir: Path) -> list[tuple[str, int, int]]:
    """Return (method, size, seed) of the fits that are not there yet, a seed after the other.

    Size 0 is the base as it is: not of what starts from nothing, and the same for every seed.
    """
    done = {(r["method"], r["size"], r["seed"]) for r in read_metrics(workdir / "fits.jsonl")}
    wanted = [
        (method, int(size), seed)
        for seed in range(config.seeds)
        for size in config.sizes
        for method in config.methods
        if size or not config.fits[method].model
    ]
    return [fit for fit in wanted if fit not in done]


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Add a line to a file; what a kill left of a line before is cut away."""
    lines = [json.dumps(r) + "\n" for r in [*read_metrics(path), record]]
    write_text(path, "".join(lines))


def measure(
    fit: ConfigDict, size: int, seed: int, base: str, target: tuple[Transients, list[str], Ledger]
) -> dict[str, Any]:
    """Fit a method with `size` labels drawn by a seed; return its scores and its course.

    size: 0 = none, the base as it is, whose outputs must serve the classes
    target: what `labelled` returns
    course: [epochs, steps, cross-entropy of the validation objects, no class weights] of each
        evaluation, the same value for all methods, whatever they watch
    """
    fit = ConfigDict(json.loads(fit.to_json()))
    head = fit.head if size else "keep"
    fit.update({"labels": size, "seed": seed, "init": "" if fit.model else base, "head": head})
    task = drawn_task(fit, *target)
    full = resolve_config(fit, task.facts)
    start = time.perf_counter()
    if size:
        params, course = trained(fit, full, task)
    else:
        params, course = assemble(full, task.train, feed=FEED).fresh.params, []
    return {
        "size": size,
        "seed": seed,
        **score(Run(full, build(full.model), params, 0), task),
        "trained": np.bincount(task.train.arrays["label"]).tolist() if size else [],
        "course": course,
        "seconds": round(time.perf_counter() - start, 1),
    }


def trained(fit: ConfigDict, full: ConfigDict, task: Task) -> tuple[Any, list[list[float]]]:
    """Return the parameters that a method ends with, and its course; see `measure`."""
    decides = len(task.valid) >= fit.min_valid
    rows = len(task.train)
    each = -(-rows // fit.batch_size)  # steps an epoch
    full.eval_every = each if decides else evaluation_interval(full.steps, each)
    full.patience = full.patience if decides else 0
    with tempfile.TemporaryDirectory() as folder:
        outcome = train(full, task.train, task.valid, Path(folder), feed=FEED)
        if outcome.stopped:
            raise KeyboardInterrupt
        lines = [m for m in read_metrics(Path(folder) / "metrics.jsonl") if m["split"] == "valid"]
        best = checkpoint.load_params(Path(folder), "best")[0]
    course = [
        [passes(line["step"], fit.batch_size, rows), line["step"], line["cross_entropy"]]
        for line in lines
    ]
    return best if decides else outcome.state.params, course


def evaluation_interval(steps: int, each: int) -> int:
    """Return the steps between evaluations: an epoch of `each` steps, or more where it is long.

    All methods are looked at alike: what is seen every fifth epoch cannot converge in the first.
    """
    return max(each, -(-steps // EVALUATIONS))


def score(trained: Run, task: Task) -> dict[str, Any]:
    """Return the scores on the test objects, as plain numbers."""
    labels, classes = task.test.arrays["label"], task.facts["classes"]
    probabilities = softmax(network_outputs(trained, task.test)["logits"])
    found = auroc.aurocs(probabilities, labels, classes, draws=RESAMPLED)
    return {
        "macro_auroc": found.macro,
        "macro_auroc_interval": found.intervals["macro"].tolist(),  # over test objects
        "micro_auroc": found.micro,
        "each": {c: round(float(a), 5) for c, a in zip(classes, found.each, strict=True)},
        "tested": np.bincount(labels, minlength=len(classes)).tolist(),
        "calibration_error": auroc.calibration_error(probabilities, labels),
    }


def distance(config: ConfigDict, target: Transients) -> float | None:
    """Return the proxy A-distance of the objects of the base and of the target.

    By the hand-made features that are known of half of the objects of both, or more. None where
    the objects of the base are not known: it is not ours, or its files are not here.
    """
    trained = load(config.init).config if config.init else config.base
    try:
        if "simulate" not in trained.get("data", {}):
            return None
        source, _ = load_transients(trained)
    except UserError as error:
        logging.warning("no distance of base and target: %s", error)
        return None
    tables = []
    for transients in (source, target):
        rows = np.random.default_rng(config.seed).permutation(len(transients))[:COMPARED]
        tables.append(transient_features(transients.take(np.sort(rows)))[1])
    known = np.all([(table != UNKNOWN).mean(0) >= 0.5 for table in tables], axis=0)
    return proxy_distance(*(table[:, known] for table in tables), seed=config.seed)
