"""Training from Python, in a notebook: the same loop and step as the command line."""

import json
import logging
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from astro_jax import checkpoint, defaults
from astro_jax.checks import check_numbers, check_training
from astro_jax.data.curves import Curves
from astro_jax.data.inputs import FEATURES, VECTORS, raw_inputs, scaling, with_inputs
from astro_jax.data.labels import Labels, as_label, by_class, check_size, codes_of, train_and_valid
from astro_jax.errors import UserError
from astro_jax.grown import Unlabelled, grow_any, is_grown, plant, sample_unlabelled
from astro_jax.infer import CurvesLike, as_curves, encoder_of, tidy
from astro_jax.models.classifier import Classifier, Fusion
from astro_jax.models.forest import TREES, Forest
from astro_jax.objectives.classification import classification, noise_and_gaps
from astro_jax.objectives.reconstruction import reconstruction
from astro_jax.optim import constant
from astro_jax.spec import build, spec
from astro_jax.train import train
from astro_jax.weights import Run, encoder_spec
from astro_jax.workdir import claim, locked

# Head and inputs where none are given, by whether the encoder is trained too.
USUAL = {
    False: (spec(Forest, classes=0, trees=TREES), {"features": FEATURES, "vector": VECTORS}),
    True: (spec(Fusion, classes=0), {"features": FEATURES}),
}


def fit(
    run_or_config: Run | ConfigDict,
    train_curves: CurvesLike,
    valid_curves: CurvesLike,
    epochs: int = 10,
    batch_size: int = 64,
    probed: float = 0.5,
    random: float = 0.2,
    same: float = 0.2,
    window: int = 200,
    rate: float = 1e-3,
    seed: int = 0,
    workdir: str | Path | None = None,
) -> Run:
    """Train on curves without labels; return the run with the best validation RMSE.

    run_or_config: a run, to go on from its parameters, or a config, whose model starts anew
    train_curves, valid_curves: [n, 2 or 3] arrays (time in days, magnitude[, error]) or an object
        table; an epoch shows every curve once, by one random window
    probed, random, same: fractions, see `data.masking`; rate: constant learning rate of Adam
    workdir: keep the run folder there (a run that was interrupted goes on with the same curves);
        default: nowhere
    Raises KeyboardInterrupt where it is interrupted, with the state saved in `workdir`.
    """
    curves, valid = usable(train_curves, "train_curves"), usable(valid_curves, "valid_curves")
    start = run_or_config if isinstance(run_or_config, Run) else None
    described = run_or_config.config if start else run_or_config
    each = -(-len(curves) // max(batch_size, 1))  # steps an epoch
    config = defaults.training(
        "astro_jax.pretrain:run",
        seed=seed,
        steps=epochs * each,
        batch_size=batch_size,
        window=window,
        eval_every=each,
        eval_windows=0,
        monitor="rmse_hidden",
    )
    config.data = {"workers": 0}
    config.model = encoder_spec(start) if start else ConfigDict(described.model)
    leaky = bool(described.get("objective", {}).get("leaky", False))
    loss = described.get("objective", {}).get("loss", "window_mean")
    config.objective = spec(
        reconstruction, probed=probed, random=random, same=same, leaky=leaky, loss=loss
    )
    config.optimizer = defaults.adam(config, rate, warmup=0)
    config.optimizer.schedule = spec(constant, rate=rate)
    check_training(config)
    return _somewhere(config, curves, valid, workdir, start.params if start else None)


def _somewhere(
    config: ConfigDict, curves: Curves, valid: Curves, workdir: str | Path | None, params: Any
) -> Run:
    if workdir is not None:
        return _train(config, curves, valid, Path(workdir), params)
    with tempfile.TemporaryDirectory() as folder:
        return _train(config, curves, valid, Path(folder), params)


def usable(curves: CurvesLike, name: str) -> Curves:
    """Return finite, sorted curves; UserError where none has two points or more."""
    clean, _ = tidy(as_curves(curves))
    clean = clean.take(clean.lengths >= 2)
    if not len(clean):
        raise UserError(f"{name} holds no curve with two finite observations")
    return clean


def _train(config: ConfigDict, curves: Curves, valid: Curves, workdir: Path, start: Any) -> Run:
    shown = [(c.time, c.mag, c.magerr, c.offsets, dict(c.arrays)) for c in (curves, valid)]
    config.data.digest = checkpoint.digest((shown, start))  # a folder goes on with the same only
    with locked(workdir):
        claim(workdir, json.loads(config.to_json()))
        outcome = train(config, curves, valid, workdir, params=start)
        if outcome.stopped:
            raise KeyboardInterrupt(f"stopped at step {int(outcome.state.step)}")
        params, step = checkpoint.load_params(workdir, "best")
    return Run(config, build(config.model), params, step)


def fit_classifier(
    run: Run,
    curves: CurvesLike,
    labels: Sequence,
    head: ConfigDict | None = None,
    inputs: Mapping[str, Any] | None = None,
    steps: int = 600,
    batch_size: int = 64,
    rate: float = 1e-3,
    train_encoder: bool = False,
    unlabelled: int = 1000,
    seed: int = 0,
    workdir: str | Path | None = None,
) -> Run:
    """Put a head on the encoder of a run by labelled curves; return a run for `predict`.

    run: its encoder is used, its parameters are where training starts
    curves: as in `encode`; labels: [N] class names, None = unknown: these curves, at most
        `unlabelled` of them, tell the default head how common the classes are
    head: spec of a head; default: `models.forest.Forest`, which is grown at once, or
        `models.classifier.Fusion` where the encoder is trained too; inputs: what it sees beside the
        curve, see `data.inputs`; default: what those two need
    train_encoder: train the encoder too, with a tenth of the rate; else it stays as it is
    A fifth of each class validates; training stops after ten evaluations without a gain.
    Raises UserError for fewer than two classes, fewer than 5 labels in one, or a `Forest` that is
    to train its encoder.
    """
    check_numbers({"seed": seed, "unlabelled": unlabelled})
    known, classes, rest = labelled_curves(curves, labels)
    codes = Labels(classes, known.arrays["label"], ())
    _, row_star, stars = by_class(codes.codes, known.star)
    parts = [known.take(rows) for rows in train_and_valid(codes, row_star, stars, None, seed)]
    config = defaults.training(
        "astro_jax.classify:run",
        seed=seed,
        steps=steps,
        batch_size=batch_size,
        window=run.config.window,
        windows=4,
        eval_every=20,
        eval_windows=0,
        patience=10,
        monitor="loss",
        classes=classes,
        inputs={},
    )
    config.data = {"workers": 0}
    head, config.inputs = head_and_inputs(head, inputs, train_encoder)
    config.model = spec(
        Classifier, encoder=encoder_spec(run), head=ConfigDict({**head, "classes": len(classes)})
    )
    config.objective = spec(classification, augment=spec(noise_and_gaps))
    rules = (("^encoder/", 0.1 if train_encoder else None),)
    config.optimizer = defaults.adam(config, rate, warmup=20, weight_decay=1e-3, rules=rules)
    check_training(config)
    if not is_grown(head):
        return _train_head(config, parts, encoder_of(run), workdir)
    others = sample_unlabelled(rest, np.arange(len(rest)), unlabelled, seed)
    return _grow(config, parts, others, encoder_of(run), workdir)


def head_and_inputs(
    head: ConfigDict | None, inputs: Mapping[str, Any] | None, train_encoder: bool
) -> tuple[ConfigDict, dict[str, Any]]:
    """Return head and inputs, the usual ones where none are given; UserError where none fit."""
    if head is None:
        head, usual = USUAL[train_encoder]
        inputs = usual if inputs is None else inputs
    if is_grown(head) and train_encoder:
        raise UserError("a head that is grown trains no encoder: give train_encoder=False")
    return head, dict(inputs or {})


def _train_head(
    config: ConfigDict, parts: Sequence[Curves], encoder: Run, workdir: str | Path | None
) -> Run:
    raw = raw_inputs(parts[0], config.inputs, encoder)
    config.scales = {name: scaling(values) for name, values in raw.items()}
    parts = [with_inputs(part, config.inputs, config.scales, encoder) for part in parts]
    return _somewhere(config, *parts, workdir, {"encoder": encoder.params})


def _grow(
    config: ConfigDict,
    parts: Sequence[Curves],
    others: Unlabelled | None,
    encoder: Run,
    workdir: str | Path | None,
) -> Run:
    config.scales = {}
    parts = [with_inputs(part, config.inputs, {}, encoder) for part in parts]
    facts = {"classes": config.classes}
    grown = grow_any(config.model, parts, facts, config.seed, config.inputs, encoder, others)
    config.model.head = grown.head
    if workdir is not None:
        with locked(Path(workdir)):
            claim(Path(workdir), json.loads(config.to_json()))
            plant(grown, encoder, Path(workdir))
    params = {"encoder": encoder.params, "head": grown.params}
    return Run(config, build(config.model), params, 0)


def labelled_curves(curves: CurvesLike, labels: Sequence) -> tuple[Curves, list[str], Curves]:
    """Return the curves with a label, with class numbers; the classes; the curves without a label.

    All have two finite points or more.

    Raises UserError where the numbers differ or fewer than two classes are there.
    """
    given = as_curves(curves)
    if len(labels) != len(given) or isinstance(labels, str):
        raise UserError(f"{len(labels)} labels for {len(given)} curves: give one a curve")
    if np.ndim(labels) > 1:
        raise UserError(f"labels have {np.ndim(labels)} dimensions: give one name a curve")
    plain = labels.to_pylist() if hasattr(labels, "to_pylist") else labels  # a column of a table
    texts = [as_label(label) for label in plain]
    clean, _ = tidy(given)
    told, usable = np.array([t is not None for t in texts]), clean.lengths >= 2
    rows = np.flatnonzero(told & usable)
    classes = sorted({text for text in texts if text is not None})
    if len(classes) < 2:
        raise UserError(f"a classifier needs two classes; the labels hold {classes or 'none'}")
    lost = Counter(texts[k] for k in np.flatnonzero(told & ~usable))
    for name, count in sorted(lost.items()):
        logging.warning("class '%s': %d curves lack two finite observations: left out", name, count)
        check_size(name, texts.count(name) - count, None)
    codes = codes_of([texts[k] for k in rows], classes)
    rest = clean.take(np.flatnonzero(~told & usable))
    return clean.take(rows).with_arrays(label=codes), classes, rest
