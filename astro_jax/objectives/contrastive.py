"""Learning one space for several modalities, and classes from whatever modalities there are.

A batch holds the records of `models.astrom3`, `row` [B], the number from which dropout is drawn,
`weight` [B], 0 in padding rows, and `label` [B] int32, -1 = unknown, where there are labels.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from astro_jax.nn.attention import NEVER
from astro_jax.objectives.classification import cross_entropy
from astro_jax.step import Mean, Objective

Apply = Callable[..., Mapping[str, Any]]
MONITORS = {"contrastive": ("loss", "mismatch"), "fused_classification": ("loss", "error")}
NOT_INPUTS = ("row", "weight", "label")
DRAWS = 2**31 - 1  # folded into the key of a step for the draws that all rows share


def contrastive(apply: Apply, rows: int = 0, axis: str = "") -> Objective:
    """Return the objective of `models.astrom3.AstroM3`: each object among all of the batch.

    apply: `model.apply`
    rows: how many go through the towers at once, a divisor of the batch; 0 = all.  The loss is
        always over the whole batch (the step must not cut it: `micro_batch` = the batch)
    axis: the name of several devices, over which vectors are gathered; "" for one

    Metrics: `loss`, see `pair_losses`; `mismatch`, the share of objects whose likeliest partner,
    by the mean of all softmaxes, is another object.  Both are weighed by the rows of the batch:
    over several batches the released code weighs a shorter last one as much as the others.
    """

    def metrics(params: Any, batch: Mapping, key: Array, train: bool) -> dict[str, Mean]:
        inputs, rngs = model_inputs(batch, key, train)

        def embed(part: Mapping) -> dict[str, Any]:
            output = apply({"params": params}, part, train=train, rngs=rngs)
            return {name: output[name] for name in ("embedding", "present")}

        output = in_chunks(embed, inputs, rows)
        scales = apply({"params": params}, method="logit_scales")
        weight = batch["weight"]
        there = {name: p & (weight > 0) for name, p in output["present"].items()}
        loss, chances = pair_losses(output["embedding"], there, scales, axis)
        some = jnp.any(jnp.stack(list(there.values())), axis=0) & (weight > 0)
        count = some.sum().astype(jnp.float32)
        whole = jax.lax.psum(count, axis) if axis else count
        own = _own(len(weight), axis)
        wrong = jnp.argmax(chances, axis=-1) != own
        return {
            "loss": Mean(loss * whole, count),
            "mismatch": Mean((wrong & some).sum().astype(jnp.float32), count),
        }

    return Objective(metrics, _mean)


def pair_losses(
    embedding: Mapping[str, Array],
    present: Mapping[str, Array],
    scales: Mapping[tuple[str, str], Array],
    axis: str = "",
) -> tuple[Array, Array]:
    """Return the loss over all pairs of modalities, and the mean chance of each partner [B, B'].

    embedding: {modality: [B, D]} unit vectors; present: {modality: [B] bool}.  For each pair the
    cosines times their scale are logits; cross-entropies of the rows and of the columns, each a
    mean over the objects that have both modalities, are added (random vectors: 2 ln B a pair).
    Objects that lack one of a pair are neither partner nor counted.  Under pmap the sum over
    devices of what each returns is the loss.
    """
    own = None
    total = jnp.zeros(())
    chance, count = 0.0, 0.0
    for (a, b), scale in scales.items():
        if a not in embedding or b not in embedding:
            continue
        both = present[a] & present[b]
        everyone = _gather(both, axis)
        number = jnp.maximum(everyone.sum(), 1)
        own = _own(len(both), axis) if own is None else own
        for first, second in ((a, b), (b, a)):
            logits = pair_logits(embedding[first], _gather(embedding[second], axis), scale)
            logits = jnp.where(everyone[None, :], logits, NEVER)
            losses = cross_entropy(logits, own)
            total = total + jnp.where(both, losses, 0.0).sum() / number
            chance = chance + jnp.where(both[:, None], jax.nn.softmax(logits), 0.0)
            count = count + both[:, None]
    return total, chance / jnp.maximum(count, 1)


def pair_logits(first: Array, second: Array, scale: Array) -> Array:
    """Return the scaled cosines of unit vectors [B, D] and [B', D], [B, B']."""
    return scale * first @ second.T


def _gather(x: Array, axis: str) -> Array:
    return jax.lax.all_gather(x, axis, tiled=True) if axis else x


def _own(rows: int, axis: str) -> Array:
    """Return the number of each row among those of all devices, [B]."""
    first = jax.lax.axis_index(axis) * rows if axis else 0
    return first + jnp.arange(rows)


def in_chunks(function: Callable[[Any], Any], batch: Mapping, rows: int) -> Any:
    """Return `function` of a batch, `rows` of it at once, one after the other; 0 = all at once.

    Fewer rows take less memory, and more time.
    """
    size = len(batch["key"]) if "key" in batch else len(jax.tree.leaves(batch)[0])
    if not rows or rows >= size:
        return function(batch)
    parts = jax.tree.map(lambda x: x.reshape(size // rows, rows, *x.shape[1:]), batch)
    whole = jax.lax.map(function, parts)
    return jax.tree.map(lambda x: x.reshape(size, *x.shape[2:]), whole)


def model_inputs(batch: Mapping, key: Array, train: bool) -> tuple[dict[str, Any], dict]:
    """Return what a model is called with, and its streams of random numbers; none to evaluate."""
    inputs = {name: x for name, x in batch.items() if name not in NOT_INPUTS}
    if not train:
        return inputs, {}
    inputs["key"] = jax.vmap(jax.random.fold_in, (None, 0))(key, batch["row"])
    return inputs, {"draws": jax.random.fold_in(key, DRAWS)}


def fused_classification(apply: Apply) -> Objective:
    """Return the objective of a classifier of `models.astrom3`: cross-entropy, plain mean.

    Metrics: `loss`; `error`, the share of wrong classes.  Rows without a label count nowhere.
    """

    def metrics(params: Any, batch: Mapping, key: Array, train: bool) -> dict[str, Mean]:
        inputs, rngs = model_inputs(batch, key, train)
        logits = apply({"params": params}, inputs, train=train, rngs=rngs)["logits"]
        label = jnp.maximum(batch["label"], 0)
        weight = batch["weight"] * (batch["label"] >= 0)
        wrong = (jnp.argmax(logits, axis=-1) != label).astype(jnp.float32)
        return {
            "loss": Mean((cross_entropy(logits, label) * weight).sum(), weight.sum()),
            "error": Mean((wrong * weight).sum(), weight.sum()),
        }

    return Objective(metrics, _mean)


def _mean(total: Array, weight: Array) -> Array:
    return total / jnp.maximum(weight, 1e-12)
