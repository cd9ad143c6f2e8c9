"""Heads that are grown, not trained.

`models.forest.Forest` for classes, on a frozen encoder; `models.period_forest.PeriodForest` for
periods, without one.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from astro_jax import checkpoint
from astro_jax.control import Control
from astro_jax.data.curves import Curves
from astro_jax.data.inputs import blocks_of, with_inputs
from astro_jax.errors import UserError
from astro_jax.models import period_forest
from astro_jax.models.forest import Forest, grow, survey_shift
from astro_jax.models.period_forest import CLOSE, PeriodForest
from astro_jax.spec import spec
from astro_jax.step import TrainState
from astro_jax.summary import Summary
from astro_jax.train import Outcome
from astro_jax.weights import Run

FOREST = spec(Forest, classes=0).target
PERIODS = spec(PeriodForest).target
AT_ONCE = 1000  # curves whose candidates are looked at


class Grown(NamedTuple):
    """A head that is ready: its spec and parameters, and the score of one grown without `valid`."""

    head: ConfigDict
    params: dict[str, Any]
    metrics: dict[str, float]


class Unlabelled(NamedTuple):
    """Curves of the survey without a label, a sample of `count` of them."""

    curves: Curves
    count: int


def sample_unlabelled(curves: Curves, rows: np.ndarray, most: int, seed: int) -> Unlabelled | None:
    """Return up to `most` of some rows of curves, drawn by the seed; None where that is none."""
    drawn = np.random.default_rng([seed, 5]).permutation(rows)[:most]
    return Unlabelled(curves.take(np.sort(drawn)), len(rows)) if len(drawn) else None


def is_forest(head: Any) -> bool:
    """Say whether the spec of a head is that of a `Forest`."""
    return head["target"] == FOREST


def is_grown(head: Any) -> bool:
    """Say whether the spec of a head is that of one which is grown."""
    return head["target"] in (FOREST, PERIODS)


def check_period(config: Any) -> None:
    """Raise UserError where a `PeriodForest` is asked for no log period, or given an encoder.

    Names of targets that are one: `log_period`, and others that begin with "log" and hold "period".
    Warns where another head is asked for one.
    """
    target, chooses = config.data.target, config.model.head["target"] == PERIODS
    periodic = target.lower().startswith("log") and "period" in target.lower()
    if not chooses:
        if periodic:
            logging.warning(
                "%s: this head is a smooth function of the curve; configs/regress.py:period "
                "chooses among the periods of a periodogram, and is exact for most stars",
                target,
            )
        return
    if not periodic:
        raise UserError(
            f"config.data.target={target}: the head PeriodForest predicts log10 of a period in "
            "days; give log_period (of a column period), or configs/regress.py without `period`"
        )
    if config.init and config.model.encoder is None:
        raise UserError(
            f"config.init={config.init}: the head PeriodForest reads no encoder; "
            "leave --config.init out"
        )


def grow_any(
    model: Mapping[str, Any],
    parts: Sequence[Curves],
    facts: Mapping[str, Any],
    seed: int,
    inputs: Mapping[str, Any],
    encoder: Run | None,
    unlabelled: Unlabelled | None = None,
) -> Grown:
    """Grow the head of a resolved model on the first two parts, to train and validate on.

    The parts carry the arrays of `inputs`, by the encoder where they need one.
    facts: of the task, `classes` or `target`; unlabelled: for classes, see `grow_head`.
    Raises UserError where the head is for the other.
    """
    head, (train, valid) = model["head"], parts[:2]
    kind, job = ("classes", "classify") if is_forest(head) else ("target", "regress")
    if kind not in facts:
        name = head["target"].rpartition(":")[2]
        raise UserError(f"config.model.head: {name} is a head for configs/{job}.py")
    if is_forest(head):
        if unlabelled is not None:
            others = with_inputs(unlabelled.curves, inputs, {}, encoder)
            unlabelled = unlabelled._replace(curves=others)
        blocks = blocks_of(inputs, encoder)
        return grow_head(head, train, valid, len(facts["classes"]), seed, blocks, unlabelled)
    return grow_periods(head, train, valid, seed)


def grow_head(
    head: Any,
    train: Curves,
    valid: Curves,
    classes: int,
    seed: int,
    blocks: Mapping[str, int] | None = None,
    unlabelled: Unlabelled | None = None,
) -> Grown:
    """Grow a forest on the labels of both parts; score one grown on `train` alone on `valid`.

    The curves carry `features`, `vector` and `label`; trees stop by nothing, so that no label need
    be held back from the head that is kept.  blocks: of the vectors; see `compression`.
    unlabelled: tell how common each class is, see `survey_shift`; None: all are alike.
    """
    trees = head["trees"]
    require_inputs(train)
    rows = [
        [part.arrays[name] for name in ("features", "vector", "label")] for part in (train, valid)
    ]
    sizes, params = grow(*rows[0], classes, seed, trees, blocks)
    logits, label = told_classes(sizes, params, valid), rows[1][2]
    metrics = {
        "loss": float(-logits[np.arange(len(label)), label].mean()),
        "accuracy": float((logits.argmax(1) == label).mean()),
    }
    both = [np.concatenate(pair) for pair in zip(*rows, strict=True)]
    sizes, params = grow(*both, classes, seed, trees, blocks)
    if unlabelled is not None:
        told = np.exp(told_classes(sizes, params, unlabelled.curves))
        params["shift"] = survey_shift(told, both[2], unlabelled.count)
    return Grown(spec(Forest, **sizes), params, metrics)


def require_inputs(curves: Curves) -> None:
    """Raise UserError where curves lack the arrays of a `Forest`."""
    lacking = {"features", "vector"} - set(curves.arrays)
    if lacking:
        raise UserError(
            f"the head Forest sees {' and '.join(sorted(lacking))}, which config.inputs (in Python "
            "`inputs`) does not name: see data.inputs.FEATURES and VECTORS"
        )


def told_classes(sizes: Mapping[str, Any], params: Any, curves: Curves) -> np.ndarray:
    """Return the logits of curves with the arrays of a `Forest`, [N, C]."""
    arrays = {name: curves.arrays[name] for name in ("features", "vector")}
    return np.asarray(Forest(**sizes).apply({"params": params}, {}, arrays, None)["logits"])


def grow_periods(head: Any, train: Curves, valid: Curves, seed: int) -> Grown:
    """Grow a forest on the periods of both parts; score one grown on `train` alone on `valid`.

    The curves carry `features`, `candidates` and `target`, log10 of days; as in `grow_head`.
    """
    names = (*period_forest.ARRAYS, "target")
    period_forest.require_arrays(train.arrays)
    rows = [[*(part.arrays[name] for name in names), part.star] for part in (train, valid)]
    chosen = seed, head["trees"], head["sure"]
    sizes, params = period_forest.grow(*rows[0], *chosen)
    error = told_periods(sizes, params, valid) - rows[1][2]
    metrics = {
        "loss": float((error**2).mean() / max(rows[0][2].var(), 1e-12)),  # as of other regressions
        "rmse": float(np.sqrt((error**2).mean())),
        f"within_{CLOSE}": float((np.abs(error) < CLOSE).mean()),
    }
    both = [np.concatenate(pair) for pair in zip(*rows, strict=True)]
    sizes, params = period_forest.grow(*both, *chosen)
    return Grown(spec(PeriodForest, **sizes), params, metrics)


def told_periods(sizes: Mapping[str, Any], params: Any, curves: Curves) -> np.ndarray:
    """Return log10 of the period of curves with the arrays of a `PeriodForest`, [N] float64."""
    model = PeriodForest(**sizes)
    told = [np.zeros(0)]
    for first in range(0, len(curves), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        arrays = {name: curves.arrays[name][part] for name in period_forest.ARRAYS}
        output = model.apply({"params": params}, {}, arrays, None)
        told.append(np.asarray(output["logits"], float)[:, 0])
    return np.concatenate(told)


def plant(grown: Grown, encoder: Any, workdir: Path) -> Outcome:
    """Keep a grown head in a run folder, as training would: step 0 is the best.

    encoder: the run beside it, None where the head reads none
    """
    (workdir / "metrics.jsonl").unlink(missing_ok=True)  # of a start that was killed
    with closing(Summary(workdir, 0, 0)) as summary:
        summary.write(0, "valid", grown.metrics)
    params = {"head": grown.params}
    if encoder is not None:
        params = {"encoder": encoder.params, **params}
    state = TrainState(np.zeros((), np.int32), params, {"none": np.zeros(1, np.float32)})
    control = Control(grown.metrics["loss"], 0, 0, 0)
    for which in ("best", "last"):
        checkpoint.save(workdir / "checkpoints" / which, state, control)
    return Outcome(state, control, False)
