"""Training with labels: from a survey with a label column to what the training loop needs."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from astro_jax.data.curves import Curves
from astro_jax.data.inputs import number_column, raw_inputs, scaled, scaling
from astro_jax.data.label_maps import Dropped, apply_map
from astro_jax.data.labels import (
    HELD_OUT,
    Labels,
    Split,
    as_label,
    encode_labels,
    few_labels,
    label_texts,
)
from astro_jax.data.ledger import Ledger
from astro_jax.data.source import Parts, cut, load_curves
from astro_jax.data.split import STARS, star_position
from astro_jax.errors import UserError, suggest
from astro_jax.grown import (
    Grown,
    Unlabelled,
    check_period,
    grow_any,
    is_grown,
    sample_unlabelled,
)
from astro_jax.infer import blank_window, encoder_of
from astro_jax.spec import build
from astro_jax.weights import ANSWERS, Run, encoder_spec, load
from astro_jax.workdir import read_json, write_text

TRAIN = 0.65  # stars below this position train a regression, those up to HELD_OUT validate
TASK = "task.json"


class Task(NamedTuple):
    """Labelled curves by part, the account of all rows, and what follows from the data.

    facts: plain data that a prediction needs, kept in the run folder: the resolved model, the
        scales of the inputs, `classes`, or `target`, `mean` and `std`; `seen`, see `seen_stars`;
        `changes` of the config
    grown: the head, where it is one of trees, which takes no step of training
    """

    train: Curves
    valid: Curves
    test: Curves
    ledger: Ledger
    facts: dict[str, Any]
    grown: Grown | None = None


def class_task(config: ConfigDict) -> Task:
    """Read the survey of `config.data` and draw the fold `config.seed` with `per_class` labels."""
    curves, labels, ledger = labelled(config)
    split = fold(config, curves, labels)
    curves = curves.with_arrays(label=labels.codes)
    parts = [curves.take(rows) for rows in split]
    facts = {
        "classes": labels.classes,
        "seen": seen_stars(config, *parts),
        "model": resolved_model(config, len(labels.classes)),
    }
    others, most = None, config.get("unlabelled", 0)
    if most:
        others = sample_unlabelled(curves, unlabelled_rows(curves, split), most, config.seed)
    return assemble(config, parts, ledger, facts, others)


def fold(config: ConfigDict, curves: Curves, labels: Labels) -> Split:
    """Return the fold `config.seed` with `config.per_class` labels a class, 0: all."""
    with naming(config.data):
        split = few_labels(labels, curves.star, config.per_class or None, config.seed)
        if not len(split.test):
            raise UserError(
                "no test object: none of the labelled stars lies in the held-out fifth, which "
                "follows from the names of the stars; give more labelled stars"
            )
    return split


def seen_stars(config: ConfigDict, *parts: Curves) -> list[int]:
    """Return the held-out stars that a run learns from, as sorted numbers, for its folder.

    parts: train, valid, test.  With those that `config.init` learned from, and its own init; stars
    below HELD_OUT are tested by no fold.  A star is known by its name, in whatever file or band.
    Raises UserError where `config.init` learned from stars of `test`.
    """
    before = load(config.init).config.get("seen", ()) if config.init else ()
    before = np.array(before, np.int64)
    if not config.data.path:  # stars of simulations share their names
        return before.tolist()
    train, valid, test = (star_numbers(part.star) for part in parts)
    learned = np.union1d(train, valid)
    learned = learned[learned >= HELD_OUT * STARS]
    met = np.isin(test, before)
    if met.any():
        raise UserError(
            f"config.init={config.init} was trained on {int(met.sum())} of the {len(test)} stars "
            f"of {config.data.path} that this run would be tested on: give --config.seed and "
            "config.data as there, or another --config.init"
        )
    return np.union1d(learned, before).tolist()


def star_numbers(star: np.ndarray) -> np.ndarray:
    """Return the numbers of the stars behind `star_position`, [S] int64 ascending, each once."""
    names = np.unique(np.asarray(star).astype(str))
    return np.unique((star_position(names) * STARS).astype(np.int64))


@contextmanager
def naming(data: ConfigDict) -> Iterator[None]:
    """Say of a UserError about labels which file and which column they are from."""
    try:
        yield
    except UserError as error:
        source = data.path or "the simulated survey"
        raise UserError(f"{source} (config.data.label={data.label}): {error}") from None


def unlabelled_rows(curves: Curves, split: Split) -> np.ndarray:
    """Return the rows of which a fold uses no label, whatever it is: none of a test star."""
    free = ~np.isin(curves.star, curves.star[split.test])
    free[np.concatenate([split.train, split.valid])] = False
    return np.flatnonzero(free)


def few_parts(config: ConfigDict) -> Parts:
    """Return the curves of a fold of `class_task` without their labels, to pre-train on."""
    curves, labels, ledger = labelled(config)
    return Parts(*(curves.take(rows) for rows in fold(config, curves, labels)), ledger)


def labelled(config: ConfigDict) -> tuple[Curves, Labels, Ledger]:
    """Return the curves of `config.data`, their classes, and the account with what was left out."""
    data, label_map = config.data, named_map(config.data.label_map)
    curves, ledger = load_curves(config)
    curves, ledger = cut(with_label(curves, data), ledger, data)
    with naming(data):
        labels = encode_labels(
            curves,
            data.label,
            minimum=data.min_class,
            without=tuple(as_label(name) for name in data.without),  # 2 is class '2'
            label_map=label_map,
        )
    texts = label_texts(curves, data.label)
    mapped, by_map = apply_map(texts, label_map) if label_map else (texts, ())
    for dropped in labels.dropped:
        names = np.array([name or "" for name in (texts if dropped in by_map else mapped)])
        rows = np.flatnonzero((names == dropped.name) & (labels.codes < 0))
        ledger = ledger.filter(len(rows), int(curves.lengths[rows].sum()), why(data.label, dropped))
        if dropped.reason.startswith("fewer"):
            logging.warning(
                "class '%s' is left out: %s (config.data.min_class)", dropped.name, dropped.reason
            )
    left_out = [f"{d.name or 'no label'} {d.count:,} ({d.reason})" for d in labels.dropped]
    return curves, labels, ledger.note(*([f"left out: {', '.join(left_out)}"] if left_out else []))


def with_label(curves: Curves, data: ConfigDict) -> Curves:
    """Return curves whose column `data.label` has its own name: readers of files say "label"."""
    there = curves.columns.column_names
    if not data.path or data.label in there or "label" not in there:
        return curves
    names = [data.label if name == "label" else name for name in there]
    return curves.with_columns(curves.columns.rename_columns(names))


def why(column: str, dropped: Dropped) -> str:
    """Return the reason for which rows of a class are left out."""
    return f"{column} '{dropped.name}': {dropped.reason}" if dropped.name else f"no {column}"


def named_map(name: str) -> Any:
    """Return a table of `data.label_maps` by its name in small letters, None for ""."""
    from astro_jax.data import label_maps

    names = ("macho", "ogle3", "atlas", "types", "subtypes")
    maps = {known: getattr(label_maps, known.upper()) for known in names}
    if name and name not in maps:
        raise UserError(f"config.data.label_map '{name}' is unknown{suggest(name, maps)}")
    return maps[name] if name else None


def value_task(config: ConfigDict) -> Task:
    """Read the survey of `config.data` and the number `config.data.target` of each star."""
    check_period(config)
    curves, ledger = load_curves(config)
    curves, ledger = cut(curves, ledger, config.data)
    target = target_values(curves, config.data.target)
    known = np.isfinite(target)
    lost = int((~known).sum())
    reason = f"no usable {config.data.target}"
    ledger = ledger.filter(lost, int(curves.lengths[~known].sum()), reason) if lost else ledger
    if known.sum() < 10:
        raise UserError(f"{int(known.sum())} objects have a usable {config.data.target}: 10 needed")
    curves = curves.with_arrays(target=target.astype(np.float32)).take(known)
    part = np.digitize(star_position(curves.star), [TRAIN, HELD_OUT])
    parts = [curves.take(part == k) for k in range(3)]
    if not all(len(part) for part in parts):
        raise UserError(
            f"too few stars with a usable {config.data.target}: {len(parts[0])} curves to train, "
            f"{len(parts[1])} to validate, {len(parts[2])} to test (parts follow from star names)"
        )
    values = parts[0].arrays["target"].astype(float)
    # what is grown says the target itself: mean 0, std 1, and no rounding by them
    scale = (0.0, 1.0) if is_grown(config.model.head) else (values.mean(), values.std())
    facts = {
        "target": config.data.target,
        "mean": float(scale[0]),
        "std": max(float(scale[1]), 1e-6),
        "seen": seen_stars(config, *parts),
        "model": resolved_model(config, 1),
    }
    return assemble(config, parts, ledger, facts)


def target_values(curves: Curves, name: str) -> np.ndarray:
    """Return a numeric column, or for "log_x" without such a column log10 of x; NaN = unknown."""
    columns = curves.columns.column_names
    log = name not in columns and name.startswith("log_")
    column = name.removeprefix("log_") if log else name
    if column not in columns:
        raise UserError(f"no column '{column}' for config.data.target{suggest(column, columns)}")
    values = number_column(curves, column)
    if not log:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, np.log10(values), np.nan)


def assemble(
    config: ConfigDict,
    parts: Sequence[Curves],
    ledger: Ledger,
    facts: dict[str, Any],
    unlabelled: Unlabelled | None = None,
) -> Task:
    """Return the task with the inputs of `config.inputs`, scaled by the training curves.

    unlabelled: what a head that is grown learns of the survey beside the parts
    """
    model, grown = facts["model"], None
    encoder = encoder_run(config, model) if config.inputs else None
    raw = [raw_inputs(part, config.inputs, encoder) for part in parts]
    as_is = is_grown(model["head"])
    scales = {} if as_is else {name: scaling(values) for name, values in raw[0].items()}
    full = [
        part.with_arrays(**{name: scaled(values[name], scales.get(name)) for name in values})
        for part, values in zip(parts, raw, strict=True)
    ]
    if as_is:
        grown = grow_any(model, full, facts, config.seed, config.inputs, encoder, unlabelled)
        facts = {**facts, "model": {**model, "head": grown.head.to_dict()}}
    return Task(*full, ledger, {**facts, "scales": scales}, grown)


def encoder_run(config: ConfigDict, model: Mapping[str, Any]) -> Run | None:
    """Return the encoder of a resolved model as a run: that of `config.init`, or of the seed."""
    if not model["encoder"]:
        return None
    if config.init:
        return encoder_of(load(config.init))._replace(config=config)
    encoder = build(ConfigDict(model["encoder"]))
    params = jax.jit(encoder.init)(jax.random.key(config.seed), blank_window(config.window))
    return Run(config, encoder, params["params"], 0)


def resolved_model(config: ConfigDict, classes: int) -> dict[str, Any]:
    """Return the spec of the model, with the classes, and the encoder of `config.init` if none."""
    model = json.loads(config.model.to_json())
    model["head"]["classes"] = classes
    if model["encoder"] == {}:
        model["encoder"] = encoder_of_init(config)
    return model


def encoder_of_init(config: ConfigDict) -> dict[str, Any]:
    """Return the spec of the encoder of `config.init`; UserError where there is no init."""
    if not config.init:
        raise UserError(
            "no encoder: give --config.init=RUN (a run folder, official weights or shipped weights)"
        )
    return json.loads(encoder_spec(load(config.init), config.init).to_json())


def resolve_config(config: ConfigDict, facts: dict[str, Any]) -> ConfigDict:
    """Return the config that the loop trains: with the model and the numbers of the data."""
    full = ConfigDict(json.loads(config.to_json()))
    full.model = ConfigDict(facts["model"])
    for name in ANSWERS:
        if name in facts:
            full[name] = facts[name]
    with full.ignore_type():
        full.update(facts.get("changes", {}))
    if "mean" in facts:
        full.objective.mean, full.objective.std = facts["mean"], facts["std"]
    return full


def keep_facts(workdir: Path, facts: dict[str, Any]) -> None:
    """Write what follows from the data; refuse a folder where other data gave something else."""
    path = workdir / TASK
    told = json.loads(json.dumps(facts))
    if path.exists() and (workdir / "checkpoints").exists() and read_json(path) != told:
        raise UserError(
            f"{workdir} was trained on other data than config.data gives now; "
            "give the same data or another --workdir"
        )
    write_text(path, json.dumps(facts, indent=1) + "\n")
