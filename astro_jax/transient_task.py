"""Training on transients with labels: from a survey to what the loop needs.

Transfer takes from the run at `config.init` all that belongs to the network: how rows are made, its
metadata, its sizes, its parameters; and its head as far as it knows the classes (`transient_head`).
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from astro_jax.data.labels import encode_labels, label_texts
from astro_jax.data.ledger import Ledger, opening
from astro_jax.data.pipeline import Feed
from astro_jax.data.transient_batches import TransientBatches, padded_length, transient_batches
from astro_jax.data.transient_labels import draw_labels
from astro_jax.data.transient_rows import Rows, cut_window, make_rows
from astro_jax.data.transient_source import load_transients
from astro_jax.data.transients import Transients, quarantine_untriggered, trigger_times
from astro_jax.errors import UserError
from astro_jax.evals.transient_features import transient_features
from astro_jax.spec import resolve
from astro_jax.supervised import Task, why
from astro_jax.transient_head import kept_outputs, leaves_of
from astro_jax.weights import Run, load

EVERY = 10**6  # observations: no curve is cut


def transient_task(config: ConfigDict) -> Task:
    """Read the transients of `config.data` and draw `config.labels` of their labels."""
    return drawn_task(config, *labelled(*load_transients(config), config.data))


def drawn_task(
    config: ConfigDict, transients: Transients, classes: list[str], ledger: Ledger
) -> Task:
    """Return the task of a config on transients of its classes, as `labelled` returns them."""
    base = load(config.init) if config.init else None
    facts = resolved(config, classes, base)
    rows, ledger = labelled_rows(transients, ledger, facts, features=config.baselines)
    data, codes = config.data, rows.arrays["label"]
    split = draw_labels(codes, rows.star, config.labels, config.seed, data.test, data.valid)
    parts = [rows.take(part) for part in split]
    facts["changes"] = schedule(config, *parts[:2], classes=len(classes))
    return Task(*parts, ledger, facts)


def schedule(config: ConfigDict, train: Rows, valid: Rows, classes: int) -> dict[str, Any]:
    """Return what of the config follows from the labels: class weights, steps, evaluations.

    Trained is for `steps` and for `epochs` at least. With fewer than `min_valid` objects to
    validate nothing is decided by them but the temperature: the last step is the one that is used.
    Evaluated is every `eval_every` steps or, where that is set, every `eval_epochs` epochs.
    """
    weights = resolve(config.weights)(train.arrays["label"], classes)
    at_once = min(config.batch_size, len(train))  # fewer transients than a batch are one epoch
    steps = max(config.steps, -(-config.epochs * len(train) // at_once))
    each = config.get("eval_epochs", 0) * -(-len(train) // at_once) or config.eval_every
    changes = {
        "objective": {"class_weights": list(weights)},
        "steps": steps,
        "eval_every": each if len(valid) >= config.min_valid else steps,
    }
    if "steps" in config.optimizer.schedule:
        changes["optimizer"] = {"schedule": {"steps": steps}}
    return changes


def labelled(
    transients: Transients, ledger: Ledger, data: ConfigDict
) -> tuple[Transients, list[str], Ledger]:
    """Return the objects of the classes that are learned, the classes, and the account.

    Empty and null labels are none; classes with fewer than `data.min_class` objects that have a
    trigger, in whatever bands, are left out by name. Objects without one are quarantined first.
    """
    trigger = trigger_times(transients)
    transients, ledger, _ = quarantine_untriggered(transients, ledger, trigger)
    labels = encode_labels(
        transients,
        "label",
        minimum=data.min_class,
        without=tuple(data.without),
        counted=np.arange(len(transients)),
    )
    texts = label_texts(transients, "label")
    for dropped in labels.dropped:
        if dropped.name:
            logging.warning("left out: %s (%d objects)", why("label", dropped), dropped.count)
        rows = [k for k, text in enumerate(texts) if (text or "") == dropped.name]
        points = int(transients.lengths[rows].sum())
        ledger = ledger.filter(len(rows), points, why("label", dropped))
    return transients.take(labels.codes >= 0), labels.classes, ledger


def labelled_rows(
    transients: Transients, ledger: Ledger, facts: dict[str, Any], features: bool = False
) -> tuple[Rows, Ledger]:
    """Return the rows of transients; with `features`, the hand-made ones among their arrays."""
    rows, ledger = make_rows(
        transients,
        ledger,
        facts["classes"],
        facts["metadata"],
        **facts["rows"],
    )
    if not features:
        return rows, ledger
    seen, _ = cut_window(transients, opening(len(transients), len(transients.time)), EVERY)
    table = {id: k for k, id in enumerate(seen.columns["id"].to_pylist())}
    place = [table[id] for id in rows.columns["id"].to_pylist()]
    made = {
        name: transient_features(seen, redshift=known)[1][place]
        for name, known in (("features", True), ("features_no_redshift", False))
    }
    return replace(rows, arrays={**rows.arrays, **made}), ledger


def resolved(config: ConfigDict, classes: list[str], base: Run | None) -> dict[str, Any]:
    """Return the facts of a run: classes, model with its head, how rows are made, metadata."""
    if base is None and not (config.model and config.rows):
        raise UserError("no network: give --config.init=RUN (a run folder or official weights)")
    source = config if config.model and config.rows else base.config
    if base is not None and "rows" not in base.config:
        raise UserError(f"config.init={config.init} is no classifier of transients")
    rows = json.loads(ConfigDict(source.rows).to_json())
    metadata = list(source.metadata)
    model = json.loads(ConfigDict(source.model).to_json())
    if "redshift" in model:
        model["redshift"] = metadata.index("redshift") if "redshift" in metadata else -1
    kept = None if base is None else kept_outputs(base, classes, config.head)
    model |= {
        "classes": len(classes),
        "features": len(metadata),
        "leaves": leaves_of(kept, len(classes)),
    }
    return {
        "classes": classes,
        "model": model,
        "rows": {**rows, "length": config.window},
        "metadata": metadata,
    }


def hide(rows: Rows, metadata: Sequence[str], names: Sequence[str]) -> Rows:
    """Return the rows as if the metadata `names` were unknown of all objects."""
    known = rows.arrays["known"] & ~np.isin(list(metadata), list(names))
    return replace(rows, arrays={**rows.arrays, "known": known})


def rows_train(config: ConfigDict, rows: Rows) -> TransientBatches:
    """Return the batches of training."""
    length = padded_length(rows)
    return TransientBatches(rows, config.seed, config.batch_size, length, config.cut)


def rows_valid(config: ConfigDict, rows: Rows) -> Iterator[dict]:
    """Yield the transients of an evaluation, at most `config.eval_windows` of them (0 = all)."""
    size, most = len(rows), config.eval_windows
    some = rows.take(np.arange(most) * size // most) if 0 < most < size else rows
    return transient_batches(some, config.batch_size, padded_length(some))


FEED = Feed(rows_train, rows_valid)
