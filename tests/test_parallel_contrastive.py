"""The contrastive loss sees the whole batch on any number of devices: the same training.

Run as a script, this file trains on four simulated devices and writes the results.
"""

import sys

import jax
import numpy as np
import pytest
from devices import assert_same, few_steps
from tiny import on_devices

from astro_jax.models.astrom3 import AstroM3, Metadata
from astro_jax.objectives.contrastive import contrastive
from astro_jax.optim import adam, constant
from astro_jax.parallel import AXIS, compile_steps
from astro_jax.step import init_state

pytestmark = pytest.mark.usefixtures("hastily")
ROWS, FEATURES, STEPS, DEVICES = 16, 6, 4, 4
TOWERS = {name: Metadata(width=8, dropout=0.2) for name in ("a", "b", "c")}
MODEL = AstroM3(towers=TOWERS, space=8)


def make_batch(step):
    """Return three views of the same stars; some lack one, and two rows are padding."""
    rng = np.random.default_rng(step)
    truth = rng.standard_normal((ROWS, FEATURES))
    real = np.arange(ROWS) < ROWS - 2
    batch = {"row": np.arange(ROWS, dtype=np.uint32), "weight": real.astype(np.float32)}
    for k, name in enumerate(TOWERS):
        seen = real & (rng.random(ROWS) < (1.0, 0.8, 0.5)[k])
        values = truth @ np.random.default_rng(k).standard_normal((FEATURES, FEATURES))
        mask = np.broadcast_to(seen[:, None], values.shape)
        batch[name] = {"values": (values * mask).astype(np.float32), "mask": mask.copy()}
    return batch


def train(mode, rows=0):
    """Return parameters and metrics after a few steps and an evaluation."""
    optimizer = adam(constant(1e-2), eps=1e-3)
    objective = contrastive(MODEL.apply, rows=rows, axis="" if mode == "jit" else AXIS)
    steps = compile_steps(objective, optimizer, ROWS, mode, ROWS)
    params = jax.jit(MODEL.init)(jax.random.key(0), make_batch(0))["params"]
    before = np.array(params["towers_a"]["dense_1"]["kernel"])  # the state is donated
    result = few_steps(steps, init_state(params, optimizer), make_batch, STEPS)
    moved = np.abs(result["params/towers_a/dense_1/kernel"] - before).max()
    assert moved > 1e-3, "nothing was trained"
    return result


@pytest.fixture(scope="module")
def whole(hastily):
    return train("jit")


def test_towers_in_pieces_agree(whole):
    assert_same(train("jit", rows=4), whole, "valid/loss/total", 2e-5)


@pytest.fixture(scope="module")
def on_four_devices(tmp_path_factory):
    """Results by mode, from a process that sees four devices."""
    return on_devices(__file__, tmp_path_factory.mktemp("devices"), DEVICES)


@pytest.mark.parametrize("mode", ["sharded", "pmap"])
def test_devices_agree(whole, on_four_devices, mode):
    assert_same(on_four_devices[mode], whole, "valid/loss/total", 2e-5)


def test_partners_on_other_devices_count(whole, on_four_devices):
    """Without what the devices gather, each would compare four rows alone."""
    ours, alone = (on_four_devices[k]["valid/loss/total"] for k in ("pmap", "alone"))
    weight = whole["valid/loss/weight"]
    assert alone / weight < 0.8 * ours / weight


def main(folder):
    assert jax.device_count() == DEVICES
    jax.config.update("jax_disable_most_optimizations", True)
    for mode in ("sharded", "pmap"):
        np.savez(f"{folder}/{mode}.npz", **train(mode))
    params = jax.jit(MODEL.init)(jax.random.key(0), make_batch(0))["params"]
    steps = compile_steps(contrastive(MODEL.apply), adam(constant(1e-2)), ROWS, "pmap", ROWS)
    placed = steps.place_state(init_state(params, adam(constant(1e-2))))
    told = steps.evaluate(placed.params, steps.place_batch(make_batch(9)), jax.random.key(2))
    np.savez(f"{folder}/alone.npz", **{"valid/loss/total": steps.fetch(told)["loss"].total})


if __name__ == "__main__":
    main(sys.argv[1])
