"""A run and transients in, probabilities out: per object, per epoch, calibrated, with a tree."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pyarrow as pa
from ml_collections import ConfigDict

from astro_jax.data.ledger import Ledger, opening
from astro_jax.data.read_transients import read_transients
from astro_jax.data.source import announce
from astro_jax.data.transient_batches import make_batch
from astro_jax.data.transient_rows import Rows, make_rows
from astro_jax.data.transient_source import load_transients, without_metadata
from astro_jax.data.transients import Transients
from astro_jax.embed import write_parquet
from astro_jax.errors import UserError
from astro_jax.evals.calibration import softmax
from astro_jax.evals.outliers import from_plain, outlier_score
from astro_jax.parallel import on_cpu
from astro_jax.transient_head import bare, part_of
from astro_jax.weights import Run

TransientsLike = Transients | pa.Table | str | Path
SHORTEST = 32  # slots of the shortest batch; longer ones have twice as many, and so on


class TransientPredictions(NamedTuple):
    """What a run says of N transients, in input order.

    id: [N]; prediction: [N] the most probable class; probabilities: [N, C] float64 in the order of
    `classes`; type, type_probabilities [N, K]: the same of the types that the classes are part of
    (a type is the sum over its classes); outlier: [N], 0 .. 1 as the objects of the training, above
    1 unlike them all, NaN where the run does not know; redshift_used: [N] bool.
    An object that the network cannot see (no trigger, no known band) has None and NaN.
    times, steps: with `per_epoch`, of each object the MJD [n] and the probabilities [n, C] after
    each observation, else None.
    """

    id: list
    prediction: list
    probabilities: np.ndarray
    classes: list[str]
    type: list
    type_probabilities: np.ndarray
    types: list[str]
    outlier: np.ndarray
    redshift_used: np.ndarray
    times: list[np.ndarray] | None
    steps: list[np.ndarray] | None
    ledger: Ledger


def predict_transients(
    run: Run,
    transients: TransientsLike,
    redshift: bool = True,
    per_epoch: bool = False,
    batch_size: int | None = None,
    ledger: Ledger | None = None,
    survey: str | None = None,
) -> TransientPredictions:
    """Classify transients with a run that was trained on some, or official weights.

    transients: from `read_transients` or `simulate_transients`, an object table in memory, a path
    redshift: use it where it is known, else classify all as if it were not
    ledger: the account that came with `transients`
    survey: of a table or a path, whose letters the bands are, see `read_transients`
    """
    if not isinstance(transients, Transients):
        table = transients if isinstance(transients, str | Path) else pa.table(transients)
        transients, ledger = read_transients(table, survey=survey, every_row=True)
    elif survey:
        raise UserError(f"survey={survey}: these transients are read; give it to read_transients")
    if not redshift:
        transients = without_metadata(transients, ["redshift"])
    rows, place, ledger = network_rows(run, transients, ledger)
    output = network_outputs(run, rows, batch_size, steps=per_epoch)
    temperature = float(run.config.get("temperature", 1.0))
    classes = list(run.config.classes)
    size = len(transients)

    def spread(values: np.ndarray) -> np.ndarray:
        full = np.full((size, *values.shape[1:]), np.nan)
        full[place] = values
        return full

    probabilities = spread(softmax(output["logits"], temperature))
    types, members = types_of(classes)
    summed = probabilities @ members
    return TransientPredictions(
        transients.columns["id"].to_pylist(),
        names_of(probabilities, classes),
        probabilities,
        classes,
        names_of(summed, types),
        summed,
        types,
        spread(outliers(run, output["embedding"])),
        spread(redshift_known(run, rows).astype(float)) == 1,
        *epochs(rows, output, place, size, temperature, per_epoch),
        ledger,
    )


def network_rows(
    run: Run, transients: Transients, ledger: Ledger | None = None
) -> tuple[Rows, np.ndarray, Ledger]:
    """Return rows as the run was trained on, the place of each among the transients, the account.

    Objects of which the network can see nothing have no row, were it all of them.
    Raises UserError for a run that is no classifier of transients.
    """
    if "rows" not in run.config or not run.config.get("classes"):
        raise UserError("this run classifies no transients: train one by configs/train_ztf.py")
    ledger = opening(len(transients), len(transients.time)) if ledger is None else ledger
    columns = transients.columns
    numbered = columns.append_column("_row", pa.array(np.arange(len(transients))))
    rows, ledger = make_rows(
        transients.with_columns(numbered),
        ledger,
        classes=list(run.config.classes),
        metadata=list(run.config.metadata),
        required=False,
        **run.config.rows.to_dict(),
    )
    place = rows.columns["_row"].to_numpy()
    return rows, place, ledger


def network_outputs(
    run: Run,
    rows: Rows,
    batch_size: int | None = None,
    limit: float = np.inf,
    steps: bool = False,
) -> dict[str, Any]:
    """Return logits [N, C] and embedding [N, D] of rows; with `steps` the logits of each epoch too.

    limit: days since the trigger, after which nothing is shown to the network
    step_logits: a list of [n, C] arrays. Rows of like length go through the network together.
    """
    usual = min(256 if on_cpu() else 1024, 1 << max(len(rows) - 1, 0).bit_length())
    size = batch_size or usual  # a power of two, so that few sizes are compiled
    apply = _compiled(run.model)
    if not len(rows):
        nothing = np.zeros((0, len(run.config.classes)))
        return {"logits": nothing, "embedding": nothing, "step_logits": [] if steps else None}
    order = np.argsort(rows.lengths, kind="stable")
    found: dict[str, list] = {"logits": [], "embedding": [], "step_logits": []}
    for which, batch in batches(rows, order, size, limit):
        output = {name: np.asarray(value) for name, value in apply(run.params, batch).items()}
        found["logits"].append(output["logits"][: len(which)])
        found["embedding"].append(output["embedding"][: len(which)])
        if steps:
            lengths = rows.lengths[which]
            found["step_logits"] += [output["step_logits"][k, :n] for k, n in enumerate(lengths)]
    back = np.argsort(order)
    whole = {name: np.concatenate(found[name])[back] for name in ("logits", "embedding")}
    return {**whole, "step_logits": [found["step_logits"][k] for k in back] if steps else None}


def batches(
    rows: Rows, order: np.ndarray, size: int, limit: float
) -> Iterator[tuple[np.ndarray, dict]]:
    """Yield (which rows, batch) of `size` rows in an order of growing length, in few lengths."""
    for first in range(0, len(order), size):
        which = order[first : first + size]
        slots = SHORTEST
        while slots < rows.lengths[which].max(initial=1):
            slots *= 2
        batch = make_batch(rows, which, which, size, slots, limit)
        yield which, {name: batch[name] for name in ("photometry", "metadata")}


@lru_cache(maxsize=8)
def _compiled(model: Any) -> Callable:
    return jax.jit(lambda params, batch: model.apply({"params": params}, batch))


def types_of(classes: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the types that classes are part of, sorted, and which is part of which, [C, K].

    Names count as `bare`; a type that is a class itself is spelled as that class.
    """
    spelled = {bare(name): name for name in reversed(classes)}
    parents = [spelled.get(part_of(name), part_of(name)) for name in classes]
    types = sorted(set(parents))
    return types, np.array([[p == t for t in types] for p in parents], float)


def names_of(probabilities: np.ndarray, names: Sequence[str]) -> list:
    """Return the name of the most probable column, [N]; None where nothing is known."""
    known = np.isfinite(probabilities).all(1)
    return [
        names[int(np.argmax(p))] if k else None for p, k in zip(probabilities, known, strict=True)
    ]


def outliers(run: Run, embedding: np.ndarray) -> np.ndarray:
    """Return the outlier score of each object, [N]; NaN for a run without one."""
    described = run.config.get("outlier", None)
    if described is None or not len(embedding):
        return np.full(len(embedding), np.nan)
    return outlier_score(from_plain(described), embedding)


def redshift_known(run: Run, rows: Rows) -> np.ndarray:
    """Return which rows the network is told a redshift of, [N] bool."""
    names = list(run.config.metadata)
    if "redshift" not in names:
        return np.zeros(len(rows), bool)
    return rows.arrays["known"][:, names.index("redshift")]


def epochs(
    rows: Rows,
    output: dict[str, Any],
    place: np.ndarray,
    size: int,
    temperature: float,
    per_epoch: bool,
) -> tuple[list | None, list | None]:
    """Return MJD and probabilities after each observation, as lists of `size` objects."""
    if not per_epoch:
        return None, None
    classes = output["logits"].shape[1]
    times = [np.zeros(0)] * size
    steps = [np.zeros((0, classes))] * size
    trigger = rows.columns["trigger"].to_numpy()
    for k, row in enumerate(place):
        part = slice(*rows.offsets[k : k + 2])
        times[row] = trigger[k] + rows.since[part].astype(float)
        steps[row] = softmax(output["step_logits"][k], temperature)
    return times, steps


def prediction_columns(predicted: TransientPredictions) -> pa.Table:
    """Return id, prediction, prob_<class> and what else is known, as an Arrow table.

    type and type_<type> where classes are parts of types; outlier; redshift_used; with epochs,
    epoch_time (MJD) and epoch_prob_<class>, lists with a value an observation.
    """
    columns: dict[str, Any] = {
        "id": pa.array(predicted.id),
        "prediction": pa.array(predicted.prediction, pa.string()),
        **_named("prob_", predicted.classes, predicted.probabilities),
    }
    if predicted.types != sorted(predicted.classes):
        columns["type"] = pa.array(predicted.type, pa.string())
        columns |= _named("type_", predicted.types, predicted.type_probabilities)
    columns["outlier"] = pa.array(predicted.outlier, from_pandas=True)
    columns["redshift_used"] = pa.array(predicted.redshift_used)
    if predicted.steps is not None:
        columns["epoch_time"] = pa.array(predicted.times, pa.list_(pa.float64()))
        for c, name in enumerate(predicted.classes):
            values = [step[:, c].astype(np.float32) for step in predicted.steps]
            columns[f"epoch_prob_{name}"] = pa.array(values, pa.list_(pa.float32()))
    return pa.table(columns)


def predict_file(config: ConfigDict, run: Run) -> int:
    """Write the predictions for the transients of `config.data` to `config.output`: the job.

    One row an input row, null where the network can see nothing of it.
    """
    full = ConfigDict(json.loads(config.to_json()))
    trained_on = run.config.get("data", {}).get("simulate", {}).get("surveys", None) or ("ztf",)
    count = config.data.simulate.stars
    alike = {"surveys": list(trained_on), "transients": count, "classes": (), "types": False}
    full.data.simulate = alike
    print(announce(full), flush=True)
    transients, ledger = load_transients(full, every_row=True)
    predicted = predict_transients(
        run, transients, config.redshift, config.per_epoch, config.batch_size or None, ledger
    )
    print(predicted.ledger.summary(), flush=True)
    table = prediction_columns(predicted)
    write_parquet(iter([table]), Path(config.output))
    predicted.ledger.report(config.output)
    seen = sum(name is not None for name in predicted.prediction)
    known = int(predicted.redshift_used.sum())
    print(
        f"{len(table)} predictions of step {run.step} in {config.output}, {len(table) - seen} of "
        f"them null; with redshift {known}, without {seen - known}"
    )
    return 0


def _named(prefix: str, names: Sequence[str], values: np.ndarray) -> dict[str, pa.Array]:
    return {
        f"{prefix}{n}": pa.array(v, from_pandas=True) for n, v in zip(names, values.T, strict=True)
    }
