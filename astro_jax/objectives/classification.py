"""Training with labels: classes by cross-entropy, quantities by squared error.

A batch holds `photometry` (magnitudes as measured: the objective centres them), `row` [B], the
number from which augmentation and dropout are drawn, `weight` [B], and `label` [B] int32, -1 =
unknown, or `target` [B] float32, NaN = unknown.  Rows without a label count nowhere.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from astro_jax.errors import UserError
from astro_jax.step import Mean, Objective

Apply = Callable[..., Mapping[str, Array]]
Photometry = Mapping[str, Array]
# What training may watch (lower is better), by objective.
MONITORS = {"classification": ("loss",), "regression": ("loss", "rmse")}
NOT_INPUTS = ("photometry", "row", "weight", "label", "target")
Augment = Callable[[Array, Photometry], Photometry]  # (key, photometry of one row)


def classification(
    apply: Apply,
    smoothing: float = 0.0,
    class_weights: Sequence[float] = (),
    augment: Augment | None = None,
) -> Objective:
    """Return the objective of a `models.classifier.Classifier`: cross-entropy from logits.

    apply: `model.apply`
    smoothing: the share of the target that is spread evenly over all classes
    class_weights: one factor a class on the loss of its rows; () = 1 each
    augment: changes the photometry of a row in training, for example `noise_and_gaps`

    Metrics: `loss`, the mean weighted by row and class; `accuracy`, weighted by row.
    Raises UserError where the class weights are not as many as the classes.
    """

    def metrics(params: Any, batch: Mapping, key: Array, train: bool) -> dict[str, Mean]:
        inputs = model_inputs(batch, key, train, augment)
        logits = apply({"params": params}, inputs, train=train)["logits"]
        weights = _checked_weights(class_weights, logits.shape[-1])
        known = batch["label"] >= 0
        label = jnp.where(known, batch["label"], 0)
        row_weight = batch["weight"] * known
        weight = row_weight * weights[label]
        right = (jnp.argmax(logits, axis=-1) == label).astype(jnp.float32)
        return {
            "loss": Mean((cross_entropy(logits, label, smoothing) * weight).sum(), weight.sum()),
            "accuracy": Mean((right * row_weight).sum(), row_weight.sum()),
        }

    return Objective(metrics, _mean)


def regression(
    apply: Apply, mean: float = 0.0, std: float = 1.0, augment: Augment | None = None
) -> Objective:
    """Return the objective of a `models.classifier.Regressor`: the squared error.

    apply: `model.apply`; its prediction is of (target - mean) / std
    mean, std: of the targets that are trained on, in the units of the target
    augment: changes the photometry of a row in training, for example `noise_and_gaps`

    Metrics: `loss`, the mean square error in units of std; `rmse`, its root in units of the target.
    """

    def metrics(params: Any, batch: Mapping, key: Array, train: bool) -> dict[str, Mean]:
        inputs = model_inputs(batch, key, train, augment)
        predicted = apply({"params": params}, inputs, train=train)["prediction"]
        known = jnp.isfinite(batch["target"])
        target = (jnp.where(known, batch["target"], mean) - mean) / std
        weight = batch["weight"] * known
        total = ((predicted - target) ** 2 * weight).sum()
        return {
            "loss": Mean(total, weight.sum()),
            "rmse": Mean(total * std**2, weight.sum(), root=True),
        }

    return Objective(metrics, _mean)


def model_inputs(
    batch: Mapping, key: Array, train: bool, augment: Augment | None = None
) -> dict[str, Any]:
    """Return what a classifier is called with: centred photometry, arrays, row keys in training.

    All that is random is drawn from keys [B] that depend on `key` and `row` only, so that the
    result is the same in micro-batches, on many devices and in any order.
    """
    arrays = {name: x for name, x in batch.items() if name not in NOT_INPUTS}
    if not train:
        return {**arrays, "photometry": centred(batch["photometry"])}
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, batch["row"])
    photometry = batch["photometry"]
    if augment is not None:
        photometry = jax.vmap(augment)(jax.vmap(_second)(keys), photometry)
    return {**arrays, "photometry": centred(photometry), "key": keys}


def _second(key: Array) -> Array:
    return jax.random.fold_in(key, 1)


def centred(photometry: Photometry) -> dict[str, Array]:
    """Return the photometry with magnitudes minus their mean over the window, 0 at padding."""
    mask, values = photometry["mask"], photometry["values"]
    mag = jnp.where(mask, values[..., 0], 0.0)
    mean = mag.sum(-1, keepdims=True) / jnp.maximum(mask.sum(-1, keepdims=True), 1)
    mag = jnp.where(mask, mag - mean, 0.0)
    return {**photometry, "values": jnp.stack([mag, values[..., 1]], axis=-1)}


def cross_entropy(logits: Array, label: Array, smoothing: float = 0.0) -> Array:
    """Return the cross-entropy of logits [B, N] with label [B], [B] (Szegedy et al. 2016, eq. 3).

    The target is 1 - smoothing for the label, plus smoothing / N for every class.
    """
    log_p = jax.nn.log_softmax(logits)
    of_label = jnp.take_along_axis(log_p, label[:, None], axis=-1)[:, 0]
    return -(1.0 - smoothing) * of_label - smoothing * log_p.mean(-1)


def noise_and_gaps(noise: float = 1.0, thin: float = 0.5) -> Augment:
    """Return an augmentation that adds noise to a curve and hides some of its points.

    noise: Gaussian noise of up to this many times the error of each point (a factor of the row,
        uniform from 0); the error grows in quadrature.  A point without an error stays.
    thin: up to this share of the points (uniform from 0, rounded down) are taken out of the mask;
        times stay as they are.
    """
    if not 0.0 <= thin < 1.0 or noise < 0.0:
        raise UserError(f"noise={noise} must be at least 0, thin={thin} in 0 .. 1")

    def augment(key: Array, photometry: Photometry) -> Photometry:
        row_key, point_key = jax.random.split(key)
        mask, values = photometry["mask"], photometry["values"]
        factor, share = jax.random.uniform(row_key, (2,)) * jnp.array([noise, thin])
        unit, score = jax.random.normal(point_key, (2, mask.size))  # the score only ranks points
        mag = values[..., 0] + factor * values[..., 1] * unit
        err = values[..., 1] * jnp.sqrt(1.0 + factor**2)
        rank = jnp.argsort(jnp.argsort(jnp.where(mask, score, jnp.inf)))
        kept = mask & (rank >= jnp.floor(share * mask.sum()))
        return {**photometry, "values": jnp.stack([mag, err], axis=-1), "mask": kept}

    return augment


def _checked_weights(class_weights: Sequence[float], classes: int) -> Array:
    if len(class_weights) not in (0, classes):
        raise UserError(f"{len(class_weights)} class_weights for {classes} classes")
    return jnp.asarray(tuple(class_weights) or (1.0,) * classes, jnp.float32)


def _mean(total: Array, weight: Array) -> Array:
    return total / jnp.maximum(weight, 1e-12)
