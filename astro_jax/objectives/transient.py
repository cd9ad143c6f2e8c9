"""Training of transient classifiers: cross-entropy weighted by class, over steps or at the last."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from astro_jax.errors import UserError, suggest
from astro_jax.objectives.classification import cross_entropy
from astro_jax.step import Mean, Objective

Apply = Callable[..., Mapping[str, Array]]
Photometry = Mapping[str, Array]
Augment = Callable[[Array, Photometry], Photometry]  # (key, photometry of one row)
# What training may watch (lower is better).
MONITORS = {"transient_classification": ("loss", "cross_entropy")}
ALERT_SNR = 4.0  # of a point, below which surveys send no alert (YSE DR1: all points are above it)
MOST_WEIGHT = 50.0  # a class of one object among thousands must not be all of the loss


def transient_classification(
    apply: Apply,
    class_weights: Sequence[float],
    steps: str = "all",
    augment: Augment | None = None,
) -> Objective:
    """Return the objective of a `models.transient` classifier.

    apply: `model.apply`; class_weights: one a class, see `balanced_weights`
    steps: which steps count, a name of STEPS: "all" from the trigger on, each transient as much as
        another whatever its number of steps; "last", the reference; "both", the mean of the two
    augment: changes the photometry of a row in training, for example `noise_and_gaps`

    Metrics: `loss`, the weighted cross-entropy divided by the number of transients, not by the sum
    of class weights (as Keras does); `cross_entropy` without class weights, and `accuracy`, both of
    the last step. Rows without a label (-1) count nowhere.
    """
    counted = STEPS.get(steps)
    if counted is None:
        raise UserError(f"config.objective.steps={steps!r} is unknown{suggest(steps, STEPS)}")

    def metrics(params: Any, batch: Mapping, key: Array, train: bool) -> dict[str, Mean]:
        inputs = {"photometry": batch["photometry"], "metadata": batch["metadata"]}
        if train:
            keys = jax.vmap(jax.random.fold_in, (None, 0))(key, batch["row"])
            inputs["key"] = keys
            if augment is not None:
                keys = jax.vmap(jax.random.fold_in, (0, None))(keys, 1)
                inputs["photometry"] = jax.vmap(augment)(keys, batch["photometry"])
        output = apply({"params": params}, inputs, train=train)
        label = jnp.maximum(batch["label"], 0)
        weight = batch["weight"] * (batch["label"] >= 0)
        loss = counted(output, inputs["photometry"], label)
        last = cross_entropy(output["logits"], label)
        right = (jnp.argmax(output["logits"], axis=-1) == label).astype(jnp.float32)
        return {
            "loss": Mean((loss * weight * class_weight[label]).sum(), weight.sum()),
            "cross_entropy": Mean((last * weight).sum(), weight.sum()),
            "accuracy": Mean((right * weight).sum(), weight.sum()),
        }

    class_weight = jnp.asarray(class_weights, jnp.float32)
    return Objective(metrics, _mean)


def _all_steps(output: Mapping[str, Array], photometry: Mapping[str, Array], label: Array) -> Array:
    """Return the mean cross-entropy over the steps from the trigger on, [B].

    Before the trigger there is nothing to be known. A curve without such a step counts its last.
    """
    mask = photometry["mask"] & (photometry["times"] >= 0)
    slots = mask.shape[1]
    logits = output["step_logits"].reshape(-1, output["step_logits"].shape[-1])
    each = cross_entropy(logits, jnp.repeat(label, slots)).reshape(mask.shape)
    count = mask.sum(-1)
    mean = jnp.where(mask, each, 0.0).sum(-1) / jnp.maximum(count, 1)
    return jnp.where(count > 0, mean, each[:, -1])


def _last_step(output: Mapping[str, Array], photometry: Mapping[str, Array], label: Array) -> Array:
    """Return the cross-entropy after the last observation, [B]."""
    return cross_entropy(output["logits"], label)


def _both(output: Mapping[str, Array], photometry: Mapping[str, Array], label: Array) -> Array:
    """Return the mean of the cross-entropies over all steps and after the last, [B]."""
    every, last = (part(output, photometry, label) for part in (_all_steps, _last_step))
    return (every + last) / 2


STEPS = {"all": _all_steps, "last": _last_step, "both": _both}


def _mean(total: Array, weight: Array) -> Array:
    return total / jnp.maximum(weight, 1e-12)


def noise_and_gaps(noise: float = 1.0, thin: float = 0.5, alerts: float = 0.5) -> Augment:
    """Return an augmentation that adds noise to a transient and hides some of its points.

    noise: Gaussian noise of up to this many times the error of each point (a factor of the row,
        uniform from 0); the error grows in quadrature
    thin: up to this share of the points (uniform from 0, rounded down) are hidden
    alerts: probability with which all points with S/N of 4 or less are hidden, as in photometry
        that comes with alerts; a curve that has no other keeps them
    """
    if not 0.0 <= thin < 1.0 or noise < 0.0 or not 0.0 <= alerts <= 1.0:
        raise UserError(f"noise={noise} must be at least 0; thin={thin}, alerts={alerts} in 0 .. 1")

    def augment(key: Array, photometry: Photometry) -> Photometry:
        row_key, point_key = jax.random.split(key)
        mask, values = photometry["mask"], photometry["values"]
        factor, share, chance = jax.random.uniform(row_key, (3,)) * jnp.array([noise, thin, 1.0])
        unit, score = jax.random.normal(point_key, (2, mask.size))  # the score only ranks points
        flux = values[:, 2] + factor * values[:, 3] * unit
        error = values[:, 3] * jnp.sqrt(1.0 + factor**2)
        bright = mask & (flux > ALERT_SNR * error)
        mask = jnp.where((chance < alerts) & bright.any(), bright, mask)
        rank = jnp.argsort(jnp.argsort(jnp.where(mask, score, jnp.inf)))
        kept = mask & (rank >= jnp.floor(share * mask.sum()))
        values = jnp.stack([values[:, 0], values[:, 1], flux, error], axis=-1)
        return {**photometry, "values": values, "mask": kept}

    return augment


def balanced_weights(
    label: np.ndarray, classes: int, most: float = MOST_WEIGHT
) -> tuple[float, ...]:
    """Return w_c = N / (C N_c), at most `most`: weighted, every class counts the same.

    label: [N] int, of the objects that are trained on, negative = none. C are the classes that
    occur, so that the mean weight of an object is 1; a class that does not occur has weight 1.
    Differs from the reference: its weights are not divided by their mean, and have no limit.
    """
    counts = _counts(label, classes)
    occurring = (counts > 0).sum()
    weights = counts.sum() / np.maximum(occurring * counts, 1)
    return tuple(np.where(counts > 0, np.minimum(weights, most), 1.0).tolist())


def official_weights(label: np.ndarray, classes: int) -> tuple[float, ...]:
    """Return w_c = N / N_c (AstroMCAD); 0 for a class that does not occur."""
    counts = _counts(label, classes)
    return tuple(np.where(counts > 0, counts.sum() / np.maximum(counts, 1), 0.0).tolist())


def _counts(label: np.ndarray, classes: int) -> np.ndarray:
    label = np.asarray(label)
    counts = np.bincount(label[label >= 0], minlength=classes)
    if not counts.sum():
        raise UserError("no object has a label of a known class: nothing to weigh classes by")
    return counts
