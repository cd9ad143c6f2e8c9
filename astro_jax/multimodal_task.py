"""What the jobs on several modalities share: labels, epochs as steps, where parameters start."""

import json
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from astro_jax.checks import check_training
from astro_jax.data.labels import codes_of, label_texts
from astro_jax.data.multimodal import Objects
from astro_jax.data.multimodal_splits import subset
from astro_jax.errors import UserError
from astro_jax.multimodal_source import ObjectParts, load_parts, rows_facts, simulates
from astro_jax.parallel import AXIS
from astro_jax.supervised import Task
from astro_jax.weights import Run, load


def object_task(config: ConfigDict) -> Task:
    """Return the labelled parts of `config.data`, with `config.subset` of the labels.

    Statistics are those of the run at `config.init`, else of the whole training part: only the
    labels shrink.  Classes are those of the training part.
    """
    base = _base(config)
    told = base.config.statistics.to_dict() if base and "statistics" in base.config else None
    parts = load_parts(config, told, base.config.get("modalities", ()) if base else ())
    classes = _classes(parts.train, base)
    labelled = [with_codes(part, classes) for part in parts[:3]]
    train, valid, test = (
        few(part, config) if name != "test" or config.subset_test else part
        for name, part in zip(("train", "valid", "test"), labelled, strict=True)
    )
    facts = {**common_facts(config, parts), "classes": classes}
    facts["model"] = resolved_model(config, len(classes))
    facts["changes"] = changes(resolve_steps(config, len(train)), facts["rows"])
    return Task(train, valid, test, parts.ledger, facts)


def space_task(config: ConfigDict) -> Task:
    """Return the parts of `config.data` to learn one space from; labels are not for it to see."""
    parts = load_parts(config)
    if len(parts.train) < 2:
        raise UserError(f"{len(parts.train)} objects to train on: nothing to tell apart")
    facts = {**common_facts(config, parts), "model": json.loads(config.model.to_json())}
    full = resolve_pieces(resolve_steps(config, len(parts.train)))
    facts["changes"] = changes(full, facts["rows"], micro_batch=full.micro_batch)
    facts["changes"]["objective"] = {"axis": full.objective.axis}
    return Task(*parts[:3], parts.ledger, facts)


def changes(full: ConfigDict, rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return what a config is changed by, so that it trains with the steps of `full`."""
    return {
        **{name: full[name] for name in ("batch_size", "steps", "eval_every")},
        "optimizer": {"schedule": {"every": full.optimizer.schedule.every}},
        "plateau": {"after": full.plateau.after},
        "rows": rows,
        **more,
    }


def check_epochs(config: ConfigDict) -> None:
    """Raise UserError for a training config that cannot be, where 0 steps stand for epochs."""
    full = ConfigDict(json.loads(config.to_json()))
    full.steps, full.eval_every = full.steps or 1, full.eval_every or 1
    check_training(full)


def _base(config: ConfigDict) -> Run | None:
    """Return the run at `config.init`, refusing one whose split was another."""
    if not config.init:
        return None
    base = load(config.init)
    check_split(base, config)
    return base


def check_split(base: Run, config: ConfigDict) -> None:
    """Raise UserError where a run has trained on what `config` calls test objects."""
    if "seed" in base.config and base.config.seed != config.seed:
        raise UserError(
            f"config.init={config.init} was trained on the split of seed {base.config.seed}: with "
            f"config.seed={config.seed} it would have seen test objects; give the same seed"
        )
    data = base.config.get("data")
    if data and simulates(data) and simulates(config.data):
        theirs, ours = data.simulate.stars, config.data.simulate.stars
        if theirs != ours:
            raise UserError(
                f"config.init={config.init} was trained on the split of {theirs} simulated stars: "
                f"with {ours} it would have seen test objects; give "
                f"--config.data.simulate.stars={theirs}"
            )


def _classes(train: Objects, base: Run | None) -> list[str]:
    if base is not None and "classes" in base.config:
        return list(base.config.classes)
    texts = {text for text in label_texts(train, "label") if text is not None}
    if len(texts) < 2:
        raise UserError(f"a classifier needs two classes; the training part has {sorted(texts)}")
    return sorted(texts)


def with_codes(objects: Objects, classes: list[str]) -> Objects:
    """Return the objects with their class numbers as the array `label`; -1 = none of them."""
    texts = objects.columns["label"].to_pylist() if "label" in objects.columns.column_names else []
    texts = [None if text is None else str(text) for text in texts] or [None] * len(objects)
    return objects.with_arrays(label=codes_of(texts, classes))


def class_codes(train: Objects, *others: Objects) -> tuple[list[str], list[np.ndarray]]:
    """Return the classes of the training objects, and the class numbers of it and of others.

    No classes, and -1 everywhere, where there are no labels.
    """
    known = "label" in train.columns.column_names
    classes = sorted({t for t in label_texts(train, "label") if t is not None}) if known else []
    parts = [with_codes(part, classes) for part in (train, *others)]
    return classes, [part.arrays["label"] for part in parts]


def few(objects: Objects, config: ConfigDict) -> Objects:
    """Return the sub-set `config.subset` of objects with class numbers."""
    bright = None
    if config.brightest:
        if "mean_vmag" not in objects.columns.column_names:
            raise UserError(
                "config.brightest needs a column 'mean_vmag', the apparent magnitude, which a "
                "catalogue can have and the published layout has not"
            )
        bright = objects.columns["mean_vmag"].to_numpy()
    labels = objects.arrays["label"]
    return subset(objects, labels, config.subset, config.seed, bright)


def common_facts(config: ConfigDict, parts: ObjectParts) -> dict[str, Any]:
    """Return what a run keeps to encode other objects as it was trained."""
    channels = {name: list(part.channels) for name, part in parts.train.parts.items()}
    return {
        "statistics": parts.statistics,
        "rows": rows_facts(config),
        "modalities": sorted(channels),
        "channels": channels,
    }


def resolved_model(config: ConfigDict, classes: int) -> dict[str, Any]:
    """Return the spec of a classifier with the number of classes in it."""
    model = json.loads(config.model.to_json())
    if "head" in model:
        model["head"]["classes"] = classes
    else:
        model["classes"] = classes
    return model


def resolve_steps(config: ConfigDict, size: int) -> ConfigDict:
    """Return the config with epochs as steps: what is 0 in it follows from `size` objects.

    An epoch is size // batch_size steps, as where the last batch is dropped; it is evaluated, the
    warm-up steps, and the plateau counts after each.
    """
    full = ConfigDict(json.loads(config.to_json()))
    full.batch_size = min(full.batch_size, max(size, 1)) if full.mode == "jit" else full.batch_size
    every = max(size // full.batch_size, 1)
    full.eval_every = full.eval_every or every
    full.steps = full.steps or full.epochs * every
    full.optimizer.schedule.every = every
    full.plateau.after = full.optimizer.schedule.epochs * every
    return full


def resolve_pieces(config: ConfigDict) -> ConfigDict:
    """Return the config of a contrastive training whose step keeps the batch in one piece."""
    full = ConfigDict(json.loads(config.to_json()))
    full.micro_batch = full.batch_size
    full.objective.axis = "" if full.mode == "jit" else AXIS
    return full


def start_params(config: ConfigDict) -> Any:
    """Return the parameters of `config.init` that the model of `config` starts from, or None.

    A classifier of one tower takes that tower of a run of all; one of all takes all but the head.
    """
    if not config.init:
        return None
    base = load(config.init)
    encoder = base.params.get("encoder", base.params)
    modality = config.model.get("modality", "")
    tower = f"towers_{modality}"
    alone = base.config.model.get("modality", "")
    if modality and tower in encoder:
        encoder = encoder[tower]
    elif modality and modality != alone:
        raise UserError(f"config.init={config.init} has no tower of {modality}")
    return {"encoder": encoder}
