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
MOST_WEIGHT = 50.0  # a class of one object among thousands must not be all of the loss


def transient_classification(
    apply: Apply, class_weights: Sequence[float], steps: str = "all"
) -> Objective:
    """Return the objective of a `models.transient` classifier.

    apply: `model.apply`; class_weights: one a class, see `balanced_weights`
    steps: which steps count, a name of STEPS: "all" from the trigger on, each transient as much as
        another whatever its number of steps; or "last", the reference

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
            inputs["key"] = jax.vmap(jax.random.fold_in, (None, 0))(key, batch["row"])
        output = apply({"params": params}, inputs, train=train)
        label = jnp.maximum(batch["label"], 0)
        weight = batch["weight"] * (batch["label"] >= 0)
        loss = counted(output, batch["photometry"], label)
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


STEPS = {"all": _all_steps, "last": _last_step}


def _mean(total: Array, weight: Array) -> Array:
    return total / jnp.maximum(weight, 1e-12)


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
