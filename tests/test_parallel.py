"""One step function, any number of devices and micro-batches: the same result.

Run as a script, this file trains on four simulated devices in all modes and writes the results.
"""

import sys

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny import on_devices, toy_curves

from astro_jax.data.curves import from_arrays
from astro_jax.data.resident import window_resident
from astro_jax.errors import UserError
from astro_jax.models.astromer import Paper
from astro_jax.objectives.reconstruction import reconstruction
from astro_jax.optim import adam, constant, path_name
from astro_jax.parallel import MODES, compile_steps, largest_divisor
from astro_jax.step import init_state

ROWS, LENGTH, STEPS, DEVICES = 32, 24, 4, 4
MODEL = Paper(width=16, heads=2, ffn=16, blocks=1)


def make_batch(step):
    """Return ragged windows; five rows are padding, so that devices have unequal weights."""
    rng = np.random.default_rng(step)
    sizes = np.r_[rng.integers(1, LENGTH + 1, ROWS - 5), np.zeros(5, int)]
    mask = np.arange(LENGTH) < sizes[:, None]
    times = np.sort(rng.uniform(-40, 40, mask.shape), 1) * mask
    mag = (15 + np.sin(times) + 0.1 * rng.standard_normal(mask.shape)) * mask
    values = np.stack([mag, 0.1 * mask], axis=-1).astype(np.float32)
    return {
        "photometry": {"times": times.astype(np.float32), "values": values, "mask": mask},
        "row": np.arange(ROWS, dtype=np.uint32),
        "weight": (sizes > 0).astype(np.float32),
    }


def train(mode, micro_batch):
    """Return parameters, optimiser state and metrics after a few steps and an evaluation."""
    # The key bias of attention has a gradient of 0, of which Adam would make steps from rounding
    # alone; this eps keeps them below what is compared.
    optimizer = adam(constant(1e-3), eps=1e-3)
    steps = compile_steps(reconstruction(MODEL.apply), optimizer, ROWS, mode, micro_batch)
    params = jax.jit(MODEL.init)(jax.random.key(0), make_batch(0))["params"]
    before = np.array(params["embed"]["kernel"])  # the state is donated
    state = steps.place_state(init_state(params, optimizer))
    for step in range(STEPS):
        state, metrics = steps.train(state, steps.place_batch(make_batch(step)), jax.random.key(1))
    evaluated = steps.evaluate(state.params, steps.place_batch(make_batch(9)), jax.random.key(2))
    tree = {"state": state, "train": metrics, "valid": evaluated}
    leaves = jax.tree_util.tree_leaves_with_path(steps.fetch(tree))
    result = {path_name(path): np.asarray(leaf) for path, leaf in leaves}
    moved = np.abs(result["state/params/embed/kernel"] - before).max()
    assert moved > 1e-4, "nothing was trained"
    return result


def train_resident(mode):
    """Return parameters and metrics after steps on windows that are drawn on the devices."""
    curves = from_arrays(toy_curves(ROWS + 5, 40))
    config = ConfigDict({"seed": 3, "batch_size": ROWS, "window": LENGTH})
    resident = window_resident(config, curves)
    objective, optimizer = reconstruction(MODEL.apply), adam(constant(1e-3), eps=1e-3)
    steps = compile_steps(objective, optimizer, ROWS, mode, 8, resident.draw, STEPS)
    params = jax.jit(MODEL.init)(jax.random.key(0), make_batch(0))["params"]
    state = steps.place_state(init_state(params, optimizer))
    source = {"data": steps.place_state(resident.arrays), "at": resident.cursor(0)}
    state, metrics = steps.train(state, source, jax.random.key(1))
    tree = {"params": state.params, "valid": metrics}
    leaves = jax.tree_util.tree_leaves_with_path(steps.fetch(tree))
    return {path_name(path): np.asarray(leaf) for path, leaf in leaves}


def assert_same(ours, theirs):
    assert set(ours) == set(theirs)
    assert "valid/rmse_hidden/total" in ours
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def whole():
    return train("jit", ROWS)


@pytest.mark.parametrize("micro_batch", [4, 16])
def test_micro_batches_agree(whole, micro_batch):
    assert_same(train("jit", micro_batch), whole)


@pytest.fixture(scope="module")
def on_four_devices(tmp_path_factory):
    """Results by mode and micro-batch, from a process that sees four devices."""
    return on_devices(__file__, tmp_path_factory.mktemp("devices"), DEVICES)


@pytest.mark.parametrize("run", ["sharded-8", "sharded-2", "pmap-2"])
def test_modes_agree(whole, on_four_devices, run):
    assert_same(on_four_devices[run], whole)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 8])
def test_fewer_and_more_devices_agree(whole, tmp_path, count):
    found = on_devices(__file__, tmp_path, count)
    for run in ("sharded-8", "sharded-2", "pmap-2"):
        assert_same(found[run], whole)
    assert_same(found["resident"], train_resident("jit"))


def test_windows_drawn_on_many_devices_are_those_of_one(on_four_devices):
    whole = train_resident("jit")
    assert whole["valid/loss/total"].shape == (STEPS,)
    assert_same(on_four_devices["resident"], whole)


def test_batches_must_divide_among_devices(on_four_devices):
    assert str(on_four_devices["refused"]["message"]).endswith("30 is not a multiple of 4 devices")


def test_unknown_mode_is_refused():
    with pytest.raises(UserError, match="did you mean 'sharded'"):
        compile_steps(reconstruction(MODEL.apply), adam(constant(1e-3)), ROWS, "shard")


def test_micro_batch_is_a_divisor():
    assert [largest_divisor(n, 16) for n in (64, 60, 17, 7, 1)] == [16, 15, 1, 7, 1]


def main(folder):
    assert jax.device_count() > 1
    assert set(MODES) == {"jit", "pmap", "sharded"}
    for mode, micro_batch in [("sharded", 8), ("sharded", 2), ("pmap", 2)]:
        np.savez(f"{folder}/{mode}-{micro_batch}.npz", **train(mode, micro_batch))
    np.savez(f"{folder}/resident.npz", **train_resident("sharded"))
    try:
        compile_steps(reconstruction(MODEL.apply), adam(constant(1e-3)), 30, "pmap")
    except UserError as error:
        np.savez(f"{folder}/refused.npz", message=str(error))


if __name__ == "__main__":
    main(sys.argv[1])
