"""Pre-training: predict the magnitudes of probed observations."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from astro_jax.data.masking import Probes, draw_probes
from astro_jax.step import Mean, Objective

Apply = Callable[..., dict[str, Array]]
# What training may watch (lower is better), by objective.
MONITORS = {"reconstruction": ("loss", "rmse", "rmse_hidden")}


def reconstruction(
    apply: Apply,
    probed: float = 0.5,
    random: float = 0.2,
    same: float = 0.2,
    leaky: bool = False,
    loss: str = "window_mean",
) -> Objective:
    """Return the objective of ASTROMER: the root mean square error at probed observations.

    apply: `model.apply`; probed, random, same: fractions as in `data.masking`.
    leaky: as the reference does it, centre a window on all its magnitudes and draw random
        replacements from all of them; otherwise both use the visible ones only.
    loss: the name of a function of this module: `window_mean` (official), `equation_5` (as
        printed in the paper), `error_weighted` (Astromer 2).

    Metrics: `loss`; `rmse` at probed points (official formula: mean over windows of the mean
    over the window, then the root); `rmse_hidden` at points whose magnitude was removed;
    `rmse_mean`, the same for predicting the mean of the visible points.
    """
    squares, link = LOSSES[loss]

    def metrics(params: Any, batch: Mapping, key: Array, train: bool) -> dict[str, Mean]:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, batch["row"])
        probes = jax.vmap(lambda k, m: draw_probes(k, m, probed, random, same, leaky))(
            keys, batch["photometry"]["mask"]
        )
        photometry, target = probed_input(batch["photometry"], probes, leaky)
        output = apply({"params": params}, {"photometry": photometry}, train=train)
        error = (output["reconstruction"] - target) ** 2
        magerr = jnp.where(photometry["mask"], photometry["values"][..., 1], 0.0)
        total, weight = squares(error, probes.probe, magerr)
        weight = weight * batch["weight"]
        return {
            "loss": Mean((total * batch["weight"]).sum(), weight.sum(), root=True),
            "rmse": window_mean_square(error, probes.probe, batch["weight"]),
            "rmse_hidden": window_mean_square(error, probes.hidden, batch["weight"]),
            "rmse_mean": window_mean_square(target**2, probes.hidden, batch["weight"]),
        }

    return Objective(metrics, link)


def probed_input(
    photometry: Mapping[str, Array], probes: Probes, leaky: bool = False
) -> tuple[dict[str, Array], Array]:
    """Return the photometry that the network may see, and the true magnitudes [B, T].

    Both are centred on the mean of the points that are not hidden (`leaky`: of all points).
    """
    mask, values = photometry["mask"], photometry["values"]
    counted = mask if leaky else mask & ~probes.hidden
    count = jnp.maximum(counted.sum(-1, keepdims=True), 1)
    mean = jnp.where(counted, values[..., 0], 0.0).sum(-1, keepdims=True) / count
    target = jnp.where(mask, values[..., 0] - mean, 0.0)
    seen = jnp.take_along_axis(target, probes.source, axis=-1)
    values = jnp.stack([seen, values[..., 1]], axis=-1)
    return {**photometry, "values": values, "hidden": probes.hidden}, target


def window_mean_square(error: Array, where: Array, weight: Array) -> Mean:
    """Return the mean over windows of the mean of `error` [B, T] over `where` in the window."""
    total, counted = _window_mean(error, where, None)
    return Mean((total * weight).sum(), (counted * weight).sum(), root=True)


def _window_mean(error: Array, probe: Array, magerr: Array | None) -> tuple[Array, Array]:
    count = probe.sum(-1)
    total = jnp.where(probe, error, 0.0).sum(-1)
    return total / jnp.maximum(count, 1), (count > 0).astype(jnp.float32)


def _window_sum(error: Array, probe: Array, magerr: Array) -> tuple[Array, Array]:
    return jnp.where(probe, error, 0.0).sum(-1), jnp.ones(error.shape[0])


def _error_weighted(error: Array, probe: Array, magerr: Array) -> tuple[Array, Array]:
    return _window_mean(error * error_weights(magerr), probe, None)


def error_weights(magerr: Array) -> Array:
    """Return min-max scaled 1 / sigma of a window plus 1e-3, [B, T] (Astromer 2).

    A window without errors (all 0), or with equal errors, has weight 1 everywhere; an observation
    without an error among others that have one gets the smallest weight.
    """
    known = magerr > 0
    inverse = jnp.where(known, 1.0 / jnp.where(known, magerr, 1.0), 0.0)
    low = jnp.where(known, inverse, jnp.inf).min(-1, keepdims=True)
    high = jnp.where(known, inverse, -jnp.inf).max(-1, keepdims=True)
    spread = high - low
    scaled = jnp.where(known, (inverse - low) / jnp.where(spread > 0, spread, 1.0), 0.0) + 1e-3
    return jnp.where(spread > 0, scaled, 1.0)


def _root_mean(total: Array, weight: Array) -> Array:
    return jnp.sqrt(jnp.maximum(total / jnp.maximum(weight, 1e-12), 1e-24))


def _root_unbiased(total: Array, weight: Array) -> Array:
    return jnp.sqrt(jnp.maximum(total / jnp.maximum(weight - 1.0, 1.0), 1e-24))


LOSSES = {
    "window_mean": (_window_mean, _root_mean),  # custom_rmse of the released code
    "equation_5": (_window_sum, _root_unbiased),  # sqrt(1 / (N - 1) sum_i sum_l m e^2)
    "error_weighted": (_error_weighted, _root_mean),
}
