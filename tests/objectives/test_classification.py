"""Labels: losses by hand, what must not matter, augmentation, and any number of devices.

Run as a script, this file trains on four simulated devices and writes the results.
"""

import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import on_devices

from astro_jax.errors import UserError
from astro_jax.models.classifier import Classifier, MlpAtt
from astro_jax.objectives.classification import (
    centred,
    classification,
    cross_entropy,
    model_inputs,
    noise_and_gaps,
    regression,
)
from astro_jax.optim import adam, constant, path_name
from astro_jax.parallel import compile_steps
from astro_jax.step import init_state

ROWS, T, N, STEPS, DEVICES = 16, 12, 3, 3, 4
AUGMENT = noise_and_gaps(noise=2.0, thin=0.5)


def make_batch(step=0):
    """Return ragged windows as measured; some rows have no label, some no weight."""
    rng = np.random.default_rng(step)
    sizes = np.r_[rng.integers(1, T + 1, ROWS - 2), 0, 0]
    mask = np.arange(T) < sizes[:, None]
    times = np.sort(rng.uniform(-40, 40, mask.shape), 1) * mask
    label = rng.integers(0, N, ROWS).astype(np.int32)
    mag = (15 + label[:, None] * np.sin(times) + 0.1 * rng.standard_normal(mask.shape)) * mask
    values = np.stack([mag, rng.uniform(0.05, 0.2, mask.shape) * mask], axis=-1)
    label[3] = -1
    return {
        "photometry": {
            "times": times.astype(np.float32),
            "values": values.astype(np.float32),
            "mask": mask,
        },
        "label": label,
        "target": np.where(label < 0, np.nan, 10.0 + 3.0 * label).astype(np.float32),
        "row": np.arange(ROWS, dtype=np.uint32),
        "weight": (sizes > 0).astype(np.float32),
    }


# Losses by hand, with a model whose output stands in the batch

LOGITS = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0], [1.0, 1.0, 0.0], [9.0, 0.0, 0.0]])
LABEL = np.array([0, 2, 1, -1], np.int32)
LOG_P = LOGITS - np.log(np.exp(LOGITS).sum(1, keepdims=True))


def constant_model(output):
    return lambda variables, batch, train: output


def by_hand(weight=(1.0, 1.0, 1.0, 1.0), label=LABEL, **options):
    photometry = {k: x[:4] for k, x in make_batch()["photometry"].items()}
    batch = {"photometry": photometry, "label": label, "weight": np.array(weight, np.float32)}
    objective = classification(constant_model({"logits": jnp.asarray(LOGITS)}), **options)
    metrics = objective.metrics(None, batch, jax.random.key(0), False)
    return metrics, float(objective.link(metrics["loss"].total, metrics["loss"].weight))


def test_loss_is_the_mean_cross_entropy_of_rows_with_a_label():
    metrics, loss = by_hand()
    assert loss == pytest.approx(-(LOG_P[0, 0] + LOG_P[1, 2] + LOG_P[2, 1]) / 3, rel=1e-6)
    assert float(metrics["loss"].value) == loss
    assert float(metrics["accuracy"].value) == pytest.approx(1 / 3)  # a tie goes to the first


def test_rows_and_classes_have_weights():
    metrics, loss = by_hand(weight=(2.0, 1.0, 0.0, 1.0), class_weights=(1.0, 1.0, 5.0))
    assert loss == pytest.approx(-(2 * LOG_P[0, 0] + 5 * LOG_P[1, 2]) / 7, rel=1e-6)
    assert float(metrics["accuracy"].value) == pytest.approx(2 / 3)  # of rows, not of classes


def test_a_batch_without_a_label_has_no_loss_and_no_slope():
    metrics, loss = by_hand(label=np.full(4, -1, np.int32))
    assert loss == 0.0 and float(metrics["loss"].weight) == 0.0
    link = classification(constant_model({})).link
    assert np.isfinite(jax.grad(link)(0.0, 0.0))


def test_smoothing_spreads_a_share_over_all_classes():
    target = 0.9 * np.eye(3)[[0, 2, 1]] + 0.1 / 3
    expected = -(target * LOG_P[:3]).sum(1)
    np.testing.assert_allclose(cross_entropy(LOGITS[:3], LABEL[:3], 0.1), expected, rtol=1e-5)
    assert by_hand(smoothing=0.1)[1] == pytest.approx(expected.mean(), rel=1e-5)


def test_class_weights_must_be_as_many_as_the_classes():
    with pytest.raises(UserError, match="2 class_weights for 3 classes"):
        by_hand(class_weights=(1.0, 2.0))


def test_regression_is_in_units_of_the_deviation():
    photometry = {k: x[:3] for k, x in make_batch()["photometry"].items()}
    target = np.array([14.0, 8.0, np.nan], np.float32)
    batch = {"photometry": photometry, "target": target, "weight": np.ones(3, np.float32)}
    predicted = constant_model({"prediction": jnp.array([1.0, 0.0, 7.0])})
    objective = regression(predicted, mean=10.0, std=2.0)
    metrics = objective.metrics(None, batch, jax.random.key(0), False)
    assert float(metrics["loss"].value) == pytest.approx((1.0**2 + 1.0**2) / 2)
    assert float(metrics["rmse"].value) == pytest.approx(2.0)
    assert float(objective.link(metrics["loss"].total, metrics["loss"].weight)) == 1.0


# What the model is given


def test_windows_are_centred_on_their_observations():
    photometry = make_batch()["photometry"]
    mask = photometry["mask"]
    dirty = {**photometry, "values": np.where(mask[..., None], photometry["values"], 99.0)}
    ours = centred(dirty)
    mag = np.asarray(ours["values"][..., 0])
    np.testing.assert_allclose(mag.sum(1), 0.0, atol=1e-4)
    assert (mag[~mask] == 0).all()
    for row, m in enumerate(mask):
        if m.any():
            expected = photometry["values"][row, m, 0].astype(float)
            np.testing.assert_allclose(mag[row, m], expected - expected.mean(), atol=1e-5)
    np.testing.assert_array_equal(ours["values"][..., 1], dirty["values"][..., 1])
    np.testing.assert_array_equal(ours["times"], photometry["times"])


def test_nothing_is_drawn_when_evaluating():
    batch = make_batch()
    given = model_inputs(batch, jax.random.key(0), False, AUGMENT)
    assert set(given) == {"photometry"}
    for name, value in centred(batch["photometry"]).items():
        np.testing.assert_array_equal(given["photometry"][name], value)


def test_each_row_is_drawn_by_its_number_wherever_it_stands():
    batch, key = make_batch(), jax.random.key(0)
    order = np.random.default_rng(0).permutation(ROWS)
    shuffled = jax.tree.map(lambda x: x[order], batch)
    draw = jax.jit(lambda batch, key: model_inputs(batch, key, True, AUGMENT))
    given, moved = draw(batch, key), draw(shuffled, key)
    for a, b in zip(jax.tree.leaves(given), jax.tree.leaves(moved), strict=True):
        assert (a[order] == b).all()
    keys = jax.random.key_data(given["key"])
    assert len(np.unique(keys, axis=0)) == ROWS
    other = draw(batch, jax.random.key(1))
    assert (np.asarray(given["photometry"]["mask"]) != other["photometry"]["mask"]).any()


# Augmentation


def flat_curve(points=400, padding=50):
    mask = np.arange(points + padding) < points
    values = np.stack([np.full(mask.shape, 15.0), np.full(mask.shape, 0.1)], axis=-1)
    values[::4, 1] = 0.0  # without an error
    times = np.arange(mask.size, dtype=np.float32)
    return {"times": times, "values": values.astype(np.float32), "mask": mask}


def test_noise_is_that_of_the_errors_and_adds_to_them():
    curve, augment = flat_curve(), noise_and_gaps(noise=2.0, thin=0.0)
    draw = jax.jit(jax.vmap(lambda key: augment(key, curve)))
    drawn = jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(0), 300)))
    known = curve["values"][:, 1] > 0
    np.testing.assert_array_equal(
        drawn["values"][:, ~known], curve["values"][None, ~known].repeat(300, 0)
    )
    error = drawn["values"][:, known, 1]
    assert np.ptp(error, axis=1).max() < 1e-6
    factor = np.sqrt((error[:, 0] / 0.1) ** 2 - 1)  # of the row, uniform in 0 .. 2
    assert 0 <= factor.min() < 0.1 and 1.9 < factor.max() <= 2.0
    assert factor.mean() == pytest.approx(1.0, abs=5 * 2 / np.sqrt(12 * 300))
    unit = (drawn["values"][:, known, 0] - 15.0) / (0.1 * factor[:, None])
    assert unit[factor > 0.1].std() == pytest.approx(1.0, abs=0.02)
    np.testing.assert_array_equal(drawn["mask"], curve["mask"][None].repeat(300, 0))


def test_gaps_hide_up_to_the_given_share_and_move_nothing():
    curve, augment = flat_curve(), noise_and_gaps(noise=0.0, thin=0.5)
    draw = jax.jit(jax.vmap(lambda key: augment(key, curve)))
    drawn = jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(0), 300)))
    assert not (drawn["mask"] & ~curve["mask"]).any()
    share = 1 - drawn["mask"].sum(1) / curve["mask"].sum()
    assert 0 <= share.min() < 0.02 and 0.48 < share.max() <= 0.5
    assert share.mean() == pytest.approx(0.25, abs=5 * 0.5 / np.sqrt(12 * 300))
    hidden = (~drawn["mask"] & curve["mask"]).mean(0)[curve["mask"]]
    assert hidden.min() > 0.1 and hidden.max() < 0.4  # no place is preferred
    for name in ("times", "values"):
        np.testing.assert_array_equal(drawn[name], np.broadcast_to(curve[name], drawn[name].shape))


def test_a_curve_of_one_point_keeps_it():
    curve = flat_curve(points=1)
    keys = jax.random.split(jax.random.key(0), 50)
    assert jax.jit(jax.vmap(lambda key: AUGMENT(key, curve)))(keys)["mask"].any(1).all()


@pytest.mark.parametrize("options", [{"thin": 1.0}, {"thin": -0.1}, {"noise": -1.0}])
def test_impossible_augmentation_is_refused(options):
    with pytest.raises(UserError, match="thin="):
        noise_and_gaps(**options)


# Training: the same in micro-batches and on any number of devices


class Encoder(nn.Module):
    """An encoder that compiles in no time."""

    @nn.compact
    def __call__(self, batch, train=False):
        photometry = batch["photometry"]
        values = jnp.where(photometry["mask"][..., None], photometry["values"], 0.0)
        return {"embedding": jnp.tanh(nn.Dense(8, name="dense")(values))}


def train(mode, micro_batch):
    """Return parameters and metrics after a few steps with vectors and noise drawn by row."""
    model = Classifier(Encoder(), MlpAtt(N, "random", (6,)))
    objective = classification(model.apply, 0.1, (1.0, 2.0, 3.0), AUGMENT)
    optimizer = adam(constant(1e-2), eps=1e-3)
    steps = compile_steps(objective, optimizer, ROWS, mode, micro_batch)
    params = jax.jit(model.init)(jax.random.key(0), make_batch())["params"]
    before = np.array(params["encoder"]["dense"]["kernel"])  # the state is donated
    state = steps.place_state(init_state(params, optimizer))
    for step in range(STEPS):
        state, metrics = steps.train(state, steps.place_batch(make_batch(step)), jax.random.key(1))
    tree = {"params": state.params, "train": metrics}
    leaves = jax.tree_util.tree_leaves_with_path(steps.fetch(tree))
    result = {path_name(path): np.asarray(leaf) for path, leaf in leaves}
    moved = np.abs(result["params/encoder/dense/kernel"] - before)
    assert moved.max() > 1e-3, "nothing was trained"
    return result


def assert_same(ours, theirs):
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def whole():
    return train("jit", ROWS)


def test_micro_batches_agree(whole):
    assert_same(train("jit", 4), whole)


def test_modes_agree(whole, tmp_path):
    found = on_devices(__file__, tmp_path, DEVICES)
    for mode in ("sharded", "pmap"):
        assert_same(found[mode], whole)


def main(folder):
    assert jax.device_count() == DEVICES
    for mode in ("sharded", "pmap"):
        np.savez(f"{folder}/{mode}.npz", **train(mode, 2))


if __name__ == "__main__":
    main(sys.argv[1])
