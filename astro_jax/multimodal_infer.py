"""A run on several modalities and objects in, vectors and classes out."""

import logging
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pyarrow as pa

from astro_jax.data.labels import as_label, codes_of
from astro_jax.data.ledger import Ledger
from astro_jax.data.multimodal import Objects
from astro_jax.data.multimodal_batches import object_batches
from astro_jax.errors import UserError, suggest
from astro_jax.parallel import on_cpu
from astro_jax.surveys.astrom3 import read_published, read_table
from astro_jax.weights import Run

ObjectsLike = Objects | pa.Table | str | Path


class ObjectPredictions(NamedTuple):
    """What a classifier says of N objects, in input order.

    id: [N]; prediction: [N] class names, None where no modality is there; probabilities: [N, C],
    NaN there; classes: [C]; used: {modality: [N] bool}, which modalities it was made from
    """

    id: list
    prediction: list
    probabilities: np.ndarray
    classes: list[str]
    used: dict[str, np.ndarray]


def as_objects(run: Run, table: ObjectsLike) -> Objects:
    """Return objects, or a table or the only part of a file of the published layout, for a run.

    Objects are taken as they are: standardised by the statistics of the run (see
    `data.multimodal_rules.standardised` and `run.config.statistics`).
    Raises UserError where the channels of a modality are not those that the run was trained with.
    """
    rows = run.config.rows
    if isinstance(table, pa.Table):
        told = (run.config.get("classes", ()), tuple(rows.wavelengths))
        table, ledger = read_table(table, Path("the table"), *told)
        report(ledger)
    elif not isinstance(table, Objects):
        told = (run.config.get("classes", ()), tuple(rows.wavelengths))
        parts, ledger = read_published(table, *told)
        report(ledger)
        if len(parts) != 1:
            raise UserError(f"{table} holds the parts {', '.join(sorted(parts))}: name one file")
        (table,) = parts.values()
    for name, channels in run.config.get("channels", {}).items():
        if name in table.parts and list(table.parts[name].channels) != list(channels):
            raise UserError(
                f"modality '{name}' has channels {', '.join(table.parts[name].channels)}; the run "
                f"was trained with {', '.join(channels)}"
            )
    if not set(table.parts) & set(run.config.modalities):
        raise UserError(f"no modality of the run ({', '.join(run.config.modalities)}) is there")
    return table


def report(ledger: Ledger) -> None:
    """Log the objects that could not be read, each with the reason."""
    for row in ledger.rows:
        logging.warning("%s is left out: %s", row.object, row.reason)


def outputs(run: Run, objects: Objects, batch_size: int | None = None) -> Iterator[tuple]:
    """Yield (number of rows, output of the model) of objects, by batches in order."""
    batch_size = batch_size or (16 if on_cpu() else 512)
    objects = objects.without(*(set(objects.parts) - set(run.config.modalities)))
    rows = run.config.rows
    apply = _compiled(run.model)
    for batch in object_batches(objects, batch_size, rows.length, rows.padding):
        count = int(batch["weight"].sum())
        inputs = {name: batch[name] for name in objects.parts}
        yield count, jax.device_get(apply(run.params, inputs))


@lru_cache(maxsize=8)
def _compiled(model: Any) -> Callable:
    def run(params: Any, batch: Any) -> Any:
        output = model.apply({"params": params}, batch)
        return {k: output[k] for k in ("embedding", "present", "logits") if k in output}

    return jax.jit(run)


def encode_objects(
    run: Run, table: ObjectsLike, modality: str, batch_size: int | None = None
) -> np.ndarray:
    """Return unit vectors of one modality, [N, D] float32; NaN where an object lacks it.

    run: of contrastive learning, or a classifier of all modalities
    """
    run = space_of(run)
    objects = as_objects(run, table)
    if modality not in run.config.modalities:
        raise UserError(f"no modality '{modality}'{suggest(modality, run.config.modalities)}")
    if modality not in objects.parts:
        raise UserError(f"the objects lack '{modality}'; they have {', '.join(objects.parts)}")
    return encode_all(run, objects.without(*(set(objects.parts) - {modality})), batch_size)[
        modality
    ]


def encode_all(run: Run, objects: Objects, batch_size: int | None = None) -> dict[str, np.ndarray]:
    """Return the unit vectors of every modality that run and objects have, {name: [N, D]}."""
    run = space_of(run)
    pieces: dict[str, list[np.ndarray]] = {}
    for count, output in outputs(run, objects, batch_size):
        for name, vectors in output["embedding"].items():
            there = output["present"][name][:count, None]
            pieces.setdefault(name, []).append(np.where(there, vectors[:count], np.nan))
    return {name: np.concatenate(parts) for name, parts in pieces.items()}


def space_of(run: Run) -> Run:
    """Return the model of one space in a classifier of all modalities; itself where it is one."""
    if "encoder" in run.params and hasattr(run.model.encoder, "logit_scales"):
        return run._replace(model=run.model.encoder, params=run.params["encoder"])
    if not hasattr(run.model, "logit_scales"):
        raise UserError("this run has one modality and no shared space: give one of pre-training")
    return run


def class_probabilities(
    run: Run, table: ObjectsLike, batch_size: int | None = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return probabilities [N, C], and which modalities were used, {name: [N] bool}.

    Whatever modalities the objects have are used; an object without any has NaN.
    """
    objects = as_objects(run, table)
    if "classes" not in run.config:
        raise UserError("this run was not trained with labels: train one of classify_astrom3.py")
    wanted = (
        [run.config.model.modality] if "modality" in run.config.model else run.config.modalities
    )
    missing = [name for name in wanted if name not in objects.parts]
    if len(missing) == len(wanted):
        raise UserError(f"the objects lack {', '.join(missing)}, all that the run was trained on")
    logits = [np.asarray(o["logits"][:n], float) for n, o in outputs(run, objects, batch_size)]
    logits = np.concatenate(logits)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    used = {name: objects.present[name] for name in wanted if name in objects.parts}
    some = np.any(list(used.values()), axis=0)
    return np.where(some[:, None], weights / weights.sum(1, keepdims=True), np.nan), used


def predict_objects(
    run: Run, table: ObjectsLike, batch_size: int | None = None
) -> ObjectPredictions:
    """Classify objects from whatever modalities they have; what is missing is logged."""
    objects = as_objects(run, table)
    probabilities, used = class_probabilities(run, objects, batch_size)
    alone = run.config.model.get("modality", "")
    for name in [alone] if alone else run.config.modalities:
        lacking = int((~used[name]).sum()) if name in used else len(objects)
        if lacking:
            logging.warning("%d of %d objects have no %s", lacking, len(objects), name)
    classes = list(run.config.classes)
    some = np.isfinite(probabilities).all(1)
    best = np.nan_to_num(probabilities, nan=-1.0).argmax(1)
    names = [classes[k] if s else None for k, s in zip(best, some, strict=True)]
    return ObjectPredictions(objects.columns["id"].to_pylist(), names, probabilities, classes, used)


def modality_importance(run: Run, objects: Objects) -> pa.Table:
    """Return by class how the recall of a classifier falls when a modality is withheld.

    One row a class of the run: `objects` that are counted (labelled, with every modality of the
    run), their `recall` by all modalities, and `lost_without_<modality>`: that recall less the one
    by the others. Null where a class has no such object, as where no object has a modality.
    Raises UserError where the run classifies from one modality only.
    """
    names, classes = list(run.config.modalities), list(run.config.classes)
    if len(names) < 2 or "modality" in run.config.model:
        raise UserError("the importance of modalities needs a classifier of several of them")
    none = np.zeros(len(objects), bool)
    complete = np.all([objects.present.get(name, none) for name in names], axis=0)
    codes = codes_of([as_label(text) for text in objects.columns["label"].to_pylist()], classes)
    kept = np.flatnonzero(complete & (codes >= 0))
    few, codes = objects.take(kept), codes[kept]
    counts = np.bincount(codes, minlength=len(classes))

    def recalls(part: Objects) -> np.ndarray:
        if not len(part):  # nothing to run the network on
            return np.full(len(classes), np.nan)
        right = class_probabilities(run, part)[0].argmax(1) == codes
        with np.errstate(invalid="ignore"):
            return np.bincount(codes, right, len(classes)) / counts

    whole = recalls(few)
    columns = {"class": classes, "objects": counts}
    columns["recall"] = pa.array(whole, from_pandas=True)
    for name in names:
        lost = whole - recalls(few.without(name))
        columns[f"lost_without_{name}"] = pa.array(lost, from_pandas=True)
    return pa.table(columns)
