"""The contrastive loss over any modalities, its masks, devices and pieces; fused classification."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astro_jax.models.astrom3 import AstroM3, FusedClassifier, MeanFusion, Metadata
from astro_jax.objectives.contrastive import (
    contrastive,
    fused_classification,
    pair_losses,
)
from astro_jax.step import eval_step

pytestmark = pytest.mark.usefixtures("hastily")

B, D = 6, 5


def unit_vectors(seed):
    x = np.random.default_rng(seed).standard_normal((B, D)).astype(np.float32)
    return jnp.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def vectors(names="abc"):
    return {name: unit_vectors(k) for k, name in enumerate(names)}


def scales(names="abc", value=7.0):
    pairs = [(a, b) for a in names for b in names if a < b]
    return {pair: jnp.float32(value + k) for k, pair in enumerate(pairs)}


def there(names="abc", **absent):
    return {n: jnp.array([k not in absent.get(n, ()) for k in range(B)]) for n in names}


def by_hand(embedding, present, scales):
    total = 0.0
    for (a, b), scale in scales.items():
        rows = np.flatnonzero(present[a] & present[b])
        logits = float(scale) * np.asarray(embedding[a])[rows] @ np.asarray(embedding[b])[rows].T
        for matrix in (logits, logits.T):
            shifted = matrix - matrix.max(1, keepdims=True)
            log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
            total += -np.diag(log_p).mean()
    return total


@pytest.mark.parametrize("names", ["ab", "abc", "abcd"])
def test_loss_of_any_number_of_modalities(names):
    loss, chance = pair_losses(vectors(names), there(names), scales(names))
    expected = by_hand(vectors(names), there(names), scales(names))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(chance.sum(1), 1.0, rtol=1e-5)


def test_objects_that_lack_a_modality_are_neither_partner_nor_counted():
    present = there(b=(0, 3), c=(5,))
    loss, _ = pair_losses(vectors(), present, scales())
    np.testing.assert_allclose(loss, by_hand(vectors(), present, scales()), rtol=1e-5)
    other = {**vectors(), "b": vectors()["b"].at[jnp.array([0, 3])].set(0.9)}
    again, _ = pair_losses(other, present, scales())
    np.testing.assert_allclose(again, loss, rtol=1e-6)
    assert abs(loss - by_hand(vectors(), there(), scales())) > 1e-3


def test_a_pair_that_nobody_has_adds_nothing():
    present = there(c=range(B))
    loss, _ = pair_losses(vectors(), present, scales())
    only = {("a", "b"): scales()["a", "b"]}
    np.testing.assert_allclose(loss, by_hand(vectors(), there(), only), rtol=1e-5)


def test_no_gradient_reaches_an_absent_vector():
    present = there(b=(2,))

    def loss(embedding):
        return pair_losses(embedding, present, scales())[0]

    gradient = jax.grad(loss)(vectors())
    assert np.abs(gradient["b"][2]).max() == 0 and np.abs(gradient["a"][2]).max() > 0


def test_random_vectors_lose_two_log_b_a_pair():
    same = {name: jnp.ones((B, D)) / np.sqrt(D) for name in "abc"}
    loss, chance = pair_losses(same, there(), scales())
    np.testing.assert_allclose(loss, 6 * np.log(B), rtol=1e-5)
    np.testing.assert_allclose(chance, 1 / B, rtol=1e-5)


# As an objective of a model


@pytest.fixture(scope="module")
def system():
    towers = {name: Metadata(width=4, dropout=0.2) for name in ("a", "b", "c")}
    rng = np.random.default_rng(0)
    batch = {
        name: {
            "values": jnp.asarray(rng.standard_normal((8, 3)), jnp.float32),
            "mask": jnp.ones((8, 3), bool),
        }
        for name in towers
    }
    model = AstroM3(towers, space=5)
    params = jax.jit(model.init)(jax.random.key(0), batch)["params"]
    rows = {"row": jnp.arange(8, dtype=jnp.uint32), "weight": jnp.ones(8)}
    return model, params, {**batch, **rows, "label": jnp.arange(8) % 2}


@pytest.mark.parametrize("train", [True, False])
def test_pieces_of_the_batch_give_the_same(system, train):
    model, params, batch = system
    values = []
    for rows in (0, 2):
        objective = contrastive(model.apply, rows=rows)
        metrics = jax.jit(objective.metrics, static_argnums=3)(
            params, batch, jax.random.key(1), train
        )
        values.append([float(m.value) for m in metrics.values()])
    np.testing.assert_allclose(values[0], values[1], rtol=1e-5)


def test_training_draws_dropout_by_the_row(system):
    model, params, batch = system
    metrics = jax.jit(contrastive(model.apply).metrics, static_argnums=3)
    values = [
        float(metrics(params, batch, jax.random.key(k), train)["loss"].value)
        for k, train in ((1, True), (2, True), (1, False))
    ]
    assert len(set(values)) == 3
    order = np.array([3, 1, 7, 0, 2, 6, 4, 5])
    mixed = jax.tree.map(lambda x: x[order], batch)
    again = metrics(params, mixed, jax.random.key(1), True)["loss"].value
    np.testing.assert_allclose(again, values[0], rtol=1e-5)


def test_padding_rows_count_nowhere(system):
    model, params, batch = system
    objective = contrastive(model.apply)
    few = jax.tree.map(lambda x: x[:5], batch)
    weight = (jnp.arange(8) < 5).astype(jnp.float32)
    padded = objective.metrics(params, {**batch, "weight": weight}, jax.random.key(0), False)
    expected = objective.metrics(params, few, jax.random.key(0), False)
    for name in expected:
        np.testing.assert_allclose(padded[name].value, expected[name].value, rtol=1e-5)
        np.testing.assert_allclose(padded[name].weight, 5)


def test_one_device_of_many_sees_the_whole_batch(system):
    """vmap with a named axis runs the program of pmap, two devices with four rows each."""
    model, params, batch = system
    objective = contrastive(model.apply, axis="data")
    halves = jax.tree.map(lambda x: x.reshape(2, 4, *x.shape[1:]), batch)

    def step(part):
        return eval_step(params, part, jax.random.key(0), objective=objective, axis="data")

    metrics = jax.vmap(step, axis_name="data")(halves)
    whole = contrastive(model.apply).metrics(params, batch, jax.random.key(0), False)
    for name, mean in whole.items():
        np.testing.assert_allclose(metrics[name].value, [mean.value] * 2, rtol=1e-5)


def test_gradients_on_many_devices_add_up(system):
    model, params, batch = system
    halves = jax.tree.map(lambda x: x.reshape(2, 4, *x.shape[1:]), batch)

    def total(params, part):
        metrics = contrastive(model.apply, axis="data").metrics
        return metrics(params, part, jax.random.key(0), False)["loss"].total

    def both(params, part):
        return jax.lax.psum(jax.grad(total)(params, part), "data")

    ours = jax.jit(jax.vmap(both, in_axes=(None, 0), axis_name="data"))(params, halves)

    def whole(params):
        metrics = contrastive(model.apply).metrics
        return metrics(params, batch, jax.random.key(0), False)["loss"].total

    expected = jax.jit(jax.grad(whole))(params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-3, atol=1e-4), ours, expected
    )


def test_classification_counts_known_labels_only(system):
    model, _, batch = system
    classifier = FusedClassifier(model, MeanFusion(2))
    inputs = {name: batch[name] for name in "abc"}
    params = jax.jit(classifier.init)(jax.random.key(0), inputs)["params"]
    objective = fused_classification(classifier.apply)
    label = batch["label"].at[2:4].set(-1)
    metrics = objective.metrics(params, {**batch, "label": label}, jax.random.key(0), False)
    logits = np.asarray(classifier.apply({"params": params}, inputs)["logits"], float)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    known = np.flatnonzero(label >= 0)
    expected = -log_p[known, np.asarray(label)[known]].mean()
    np.testing.assert_allclose(metrics["loss"].value, expected, rtol=1e-5)
    wrong = (logits[known].argmax(1) != np.asarray(label)[known]).mean()
    np.testing.assert_allclose(metrics["error"].value, wrong)
