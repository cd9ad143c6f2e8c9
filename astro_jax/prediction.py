"""Predict classes, or a number, with a run that was trained with labels; and the job of it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from ml_collections import ConfigDict

from astro_jax import multimodal_infer, multimodal_prediction, transient_prediction
from astro_jax.data.curves import Curves
from astro_jax.data.inputs import with_inputs
from astro_jax.data.source import announce, load_curves
from astro_jax.data.windows import at_most, consecutive_windows
from astro_jax.embed import write_parquet
from astro_jax.errors import UserError
from astro_jax.infer import CurvesLike, as_curves, encoder_of, tidy
from astro_jax.units import sweep_file
from astro_jax.weights import Run, load
from astro_jax.windowed import outputs
from astro_jax.workdir import check_output

AT_ONCE = 2000  # curves


class Predictions(NamedTuple):
    """What a run with labels says of N curves, in input order.

    id: [N]; prediction: [N] class names, or values in the units of the target; probabilities:
    [N, C] float64 in the order of `classes`; a regression has no classes, and probabilities [N, 0].
    Of a curve without a finite observation, or of which the network says nothing finite, the
    prediction is None and the probabilities are NaN.
    """

    id: list
    prediction: list
    probabilities: np.ndarray
    classes: list[str]


def predict(
    run: Run,
    curves: CurvesLike,
    windows: int | None = None,
    batch_size: int | None = None,
    **transient: Any,
) -> Predictions | transient_prediction.TransientPredictions | multimodal_infer.ObjectPredictions:
    """Classify curves, or predict the number that a regression was trained for.

    transient: for a classifier of transients, what `predict_transients` takes, and what it returns
    curves: as in `encode`; objects or a table of them for a run on several modalities, which uses
        those that are there; windows: of a curve that count, evenly spaced over it (default: as in
        training; 0 = all): probabilities, or values, are averaged over them
    Raises UserError where the run was not trained with labels.
    """
    if "modalities" in run.config:
        return multimodal_infer.predict_objects(run, curves, batch_size)
    if "rows" in run.config:
        return transient_prediction.predict_transients(
            run, curves, batch_size=batch_size, **transient
        )
    given = as_curves(curves)
    clean, _ = tidy(given)
    ids = given.columns["id"].to_pylist()
    some = clean.lengths > 0
    pooled, _ = pooled_outputs(run, clean.take(some), windows, batch_size)
    full = np.full((len(clean), pooled.shape[1]), np.nan)
    full[some] = pooled
    known = np.isfinite(full).all(1)
    if "classes" not in run.config:
        values = [float(v) if s else None for v, s in zip(full[:, 0], known, strict=True)]
        return Predictions(ids, values, np.zeros((len(clean), 0)), [])
    classes = list(run.config.classes)
    names = [classes[k] if s else None for k, s in zip(np.argmax(full, 1), known, strict=True)]
    return Predictions(ids, names, full, classes)


def pooled_outputs(
    run: Run,
    curves: Curves,
    windows: int | None = None,
    batch_size: int | None = None,
    ready: bool = False,
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return probabilities [N, C] (or values [N, 1]) of curves, and ([W, C], curve [W]) of windows.

    curves: N tidy curves, with an observation each; ready: with the arrays of `config.inputs` too
    """
    require_labels(run)
    most = run.config.get("windows", 0) if windows is None else windows
    cut = at_most(consecutive_windows(curves.lengths, run.config.window), most)
    hidden = np.zeros(len(curves.time), bool)
    inputs = run.config.get("inputs", {})
    if not ready:
        encoder = encoder_of(run) if "encoder" in run.params else None
        curves = with_inputs(curves, inputs, run.config.get("scales", {}), encoder)
    # labels are not for the head to see
    curves = replace(curves, arrays={name: curves.arrays[name] for name in inputs})
    name = "logits" if "classes" in run.config else "prediction"
    width = len(run.config.classes) if "classes" in run.config else 1
    answers = np.zeros((len(cut.curve), width))
    for found in outputs(run, name, curves, hidden, cut, run.config.window, batch_size):
        answers[found.which] = _answers(found.value, run.config)
    total = np.stack([np.bincount(cut.curve, a, len(curves)) for a in answers.T], axis=1)
    count = np.bincount(cut.curve, minlength=len(curves))
    return total / np.maximum(count, 1)[:, None], (answers, cut.curve)


def _answers(output: np.ndarray, config: Any) -> np.ndarray:
    """Return probabilities [W, C], or values in the units of the target [W, 1]."""
    if "classes" not in config:
        return (output.astype(float) * config.std + config.mean)[:, None]
    logits = output.astype(float)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def require_labels(run: Run) -> None:
    """Raise UserError for a run that was trained without labels, or on other data than curves."""
    if "classes" not in run.config and "target" not in run.config:
        raise UserError("this run was not trained with labels: train one by configs/classify.py")
    if "window" not in run.config:
        raise UserError(
            "this run does not read curves of one band: train one by configs/classify.py"
        )


def run(config: ConfigDict, workdir: Path) -> int:
    """Write `config.output`: id (and band), prediction, and prob_<class> of every class.

    One row an input row, null where it has no usable observation; label columns of the input are
    not looked at.
    """
    if not config.init or not config.output:
        raise UserError("predict needs --config.init=RUN and --config.output=FILE.parquet")
    output = Path(config.output)
    check_output(output, config.data.path)
    sweep_file(output)
    trained = load(config.init, config.step)
    if "modalities" in trained.config:
        return multimodal_prediction.predict_file(config, trained)
    if "rows" in trained.config:  # a classifier of transients
        return transient_prediction.predict_file(config, trained)
    require_labels(trained)
    print(announce(config), flush=True)
    curves, ledger = load_curves(config, every_row=True)
    print(ledger.summary(), flush=True)
    rows = write_parquet(pieces(trained, curves, config), output)
    ledger.report(config.output)
    empty = int((curves.lengths == 0).sum())
    unknown = f", {empty} of them null: no usable observation" if empty else ""
    print(f"{rows} predictions of step {trained.step} in {config.output}{unknown}")
    return 0


def pieces(trained: Run, curves: Curves, config: ConfigDict) -> Iterator[pa.Table]:
    """Yield the table of predictions in pieces."""
    for first in range(0, max(len(curves), 1), AT_ONCE):
        part = curves.take(np.arange(first, min(first + AT_ONCE, len(curves))))
        yield prediction_table(part, predict(trained, part, batch_size=config.batch_size or None))


def prediction_table(curves: Curves, predicted: Predictions) -> pa.Table:
    """Return id (and band), prediction and prob_<class> as an Arrow table, in input order.

    Both are null for a curve that nothing can be said of.
    """
    kind = pa.string() if predicted.classes else pa.float64()
    keys = [name for name in ("id", "band") if name in curves.columns.column_names]
    table = curves.columns.select(keys)
    table = table.append_column("prediction", pa.array(predicted.prediction, kind))
    for name, column in zip(predicted.classes, predicted.probabilities.T, strict=True):
        table = table.append_column(
            f"prob_{name}", pa.array(column, pa.float64(), from_pandas=True)
        )
    return table
