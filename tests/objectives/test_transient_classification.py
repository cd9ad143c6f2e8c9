"""The loss of transient classifiers: which steps and classes count, and by how much."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from astro_jax.errors import UserError
from astro_jax.models.transient import Transient
from astro_jax.objectives.transient import (
    balanced_weights,
    official_weights,
    transient_classification,
)
from astro_jax.step import eval_step, init_state, train_step

B, T, C = 6, 10, 3


def make_batch(seed=0, label=(0, 1, 2, 1, -1, 0), weight=(1, 1, 1, 1, 1, 0)):
    rng = np.random.default_rng(seed)
    mask = np.arange(T) < np.array([10, 7, 4, 1, 5, 3])[:, None]
    times = np.sort(rng.uniform(-30, 70, (B, T)), axis=1) * mask
    times[3, 0] = -5.0  # one point, before the trigger
    batch = {
        "photometry": {
            "values": rng.standard_normal((B, T, 4)) * mask[..., None],
            "times": times,
            "mask": mask,
        },
        "metadata": {"values": rng.uniform(0, 1, (B, 2)), "mask": np.ones((B, 2), bool)},
        "label": np.array(label, np.int32),
        "row": np.arange(B, dtype=np.uint32),
        "weight": np.array(weight, np.float32),
    }
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32) if x.dtype == float else x, batch)


MODEL = Transient(classes=C, width=6, latent_width=5)
WEIGHTS = (1.0, 3.0, 0.5)
APPLY = jax.jit(MODEL.apply)


@pytest.fixture(scope="module")
def params():
    return jax.jit(MODEL.init)(jax.random.key(0), make_batch())["params"]


@cache
def compiled(steps="all", train=False):
    objective = transient_classification(MODEL.apply, WEIGHTS, steps)
    return jax.jit(lambda params, batch, key: objective.metrics(params, batch, key, train))


def by_hand(params, batch, steps):
    """Return the loss, step by step, in numpy."""
    output = APPLY({"params": params}, batch)
    log_p = np.asarray(jax.nn.log_softmax(output["step_logits"]))
    total, count = 0.0, 0.0
    for row in range(B):
        label, size = int(batch["label"][row]), int(batch["photometry"]["mask"][row].sum())
        if label < 0 or batch["weight"][row] == 0:
            continue
        slots = [t for t in range(size) if batch["photometry"]["times"][row, t] >= 0]
        if steps == "last" or not slots:
            slots = [size - 1]
        total += WEIGHTS[label] * np.mean([-log_p[row, t, label] for t in slots])
        count += 1
    return total / count


def test_both_is_the_mean_of_the_two(params):
    batch = make_batch()
    every, last, both = (
        float(compiled(steps)(params, batch, jax.random.key(0))["loss"].value)
        for steps in ("all", "last", "both")
    )
    assert both == pytest.approx((every + last) / 2, rel=1e-5) and every != last


@pytest.mark.parametrize("steps", ["all", "last"])
def test_the_loss_by_hand(params, steps):
    batch = make_batch()
    metrics = compiled(steps)(params, batch, jax.random.key(0))
    loss = metrics["loss"]
    assert float(loss.value) == pytest.approx(by_hand(params, batch, steps), rel=1e-5)
    assert loss.weight == metrics["accuracy"].weight == metrics["cross_entropy"].weight == 4
    link = transient_classification(MODEL.apply, WEIGHTS, steps).link
    assert link(loss.total, loss.weight) == loss.value


def test_rows_without_label_or_weight_change_nothing(params):
    batch, other = make_batch(), make_batch()
    noise = jnp.ones((B, T, 4)).at[:4].set(0.0)
    other["photometry"]["values"] = other["photometry"]["values"] + noise
    a, b = (compiled()(params, x, jax.random.key(0))["loss"].total for x in (batch, other))
    assert float(a) == pytest.approx(float(b), rel=1e-6)


def test_dropout_is_drawn_by_row_in_training_only(params):
    batch = make_batch()

    def loss(batch, key, train):
        return float(compiled(train=train)(params, batch, jax.random.key(key))["loss"].total)

    assert loss(batch, 0, False) == loss(batch, 1, False)
    losses = {round(loss(batch, key, True), 6) for key in range(8)}
    assert len(losses) > 1
    order = np.array([3, 1, 5, 0, 2, 4])
    mixed = jax.tree.map(lambda x: x[order], batch)
    assert loss(mixed, 2, True) == pytest.approx(loss(batch, 2, True), rel=1e-5)


def test_unknown_steps():
    with pytest.raises(UserError, match="steps='every' is unknown"):
        transient_classification(MODEL.apply, WEIGHTS, "every")


def test_chunks_give_the_same_loss(params):
    batch = make_batch()
    objective = transient_classification(MODEL.apply, WEIGHTS)
    parts = jax.jit(partial(eval_step, objective=objective, chunks=3))(
        params, batch, jax.random.key(0)
    )
    whole = compiled()(params, batch, jax.random.key(0))
    assert float(whole["loss"].value) == pytest.approx(float(parts["loss"].value), rel=1e-5)


def test_it_learns(params):
    """A class that shows in the flux is told after some steps, at every step of the curve."""
    optimizer = optax.adam(0.02)
    objective = transient_classification(MODEL.apply, (1.0, 1.0, 1.0))

    @jax.jit
    def step(state, batch):
        return train_step(state, batch, jax.random.key(0), objective=objective, optimizer=optimizer)

    state = init_state(params, optimizer)
    for k in range(120):
        batch = make_batch(k, label=(0, 1, 2, 0, 1, 2), weight=(1,) * 6)
        values = batch["photometry"]["values"].at[..., 2].add(batch["label"][:, None] - 1.0)
        batch["photometry"]["values"] = values
        state, metrics = step(state, batch)
    assert metrics["loss"].value < 0.7 < 1.0986


# Weights of classes


def test_balanced_weights():
    label = np.array([0] * 60 + [1] * 30 + [2] * 10 + [-1] * 50)
    weights = balanced_weights(label, 4)
    np.testing.assert_allclose(weights, (100 / 180, 100 / 90, 100 / 30, 1.0))
    assert np.mean([weights[k] for k in label if k >= 0]) == pytest.approx(1.0)
    assert balanced_weights(np.array([0] * 999 + [1]), 2) == (1000 / 1998, 50.0)


def test_official_weights_are_the_published_ones():
    """The five classes of the base set of the transfer experiment (SLSN, II, Ia, Ib/c, TDE)."""
    counts = [10285, 10420 + 10323 + 9882, 9314 + 10361 + 10413, 4197 + 1279 + 1157, 9078]
    label = np.repeat(np.arange(5), counts)
    np.testing.assert_allclose(
        official_weights(label, 5), [8.37, 2.82, 2.89, 13.2, 9.53], rtol=0.012
    )


def test_no_labels_at_all():
    with pytest.raises(UserError, match="no object has a label"):
        balanced_weights(np.array([-1, -1]), 3)
