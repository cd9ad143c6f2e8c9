"""A classifier of transients trains alike on any number of devices.

Run as a script, this file trains on four simulated devices and writes the results.
"""

import sys

import jax
import numpy as np
import pytest
from devices import assert_same, few_steps
from tiny import config_of, on_devices

from astro_jax.optim import adam, constant
from astro_jax.parallel import compile_steps
from astro_jax.spec import build
from astro_jax.step import init_state
from astro_jax.supervised import resolve_config
from astro_jax.transient_task import FEED, transient_task

pytestmark = pytest.mark.usefixtures("hastily")
ROWS, STEPS, DEVICES = 16, 4, 4


def train(mode, micro_batch=0):
    """Return parameters and metrics after a few steps on simulated transients."""
    config = config_of("train_ztf")
    config.batch_size, config.window, config.epochs = ROWS, 24, 0
    config.data.simulate.transients, config.data.min_class = 120, 1
    config.model.width = config.model.latent_width = 8
    task = transient_task(config)
    config = resolve_config(config, task.facts)
    model, batches = build(config.model), FEED.train(config, task.train)
    # Adam makes full steps of gradients that are rounding alone; this eps keeps them small.
    optimizer = adam(constant(1e-2), eps=1e-3)
    objective = build(config.objective, apply=model.apply)
    steps = compile_steps(objective, optimizer, ROWS, mode, micro_batch)
    params = jax.jit(model.init)(jax.random.key(0), batches(0))["params"]
    before = np.array(params["output"]["kernel"])  # the state is donated
    result = few_steps(steps, init_state(params, optimizer), batches, STEPS)
    assert np.abs(result["params/output/kernel"] - before).max() > 1e-3, "nothing was trained"
    return result


@pytest.fixture(scope="module")
def whole(hastily):
    return train("jit")


def test_micro_batches_agree(whole):
    assert_same(train("jit", 4), whole, "valid/cross_entropy/total", 1e-5)


@pytest.fixture(scope="module")
def on_four_devices(tmp_path_factory):
    """Results by mode, from a process that sees four devices."""
    return on_devices(__file__, tmp_path_factory.mktemp("devices"), DEVICES)


@pytest.mark.parametrize("mode", ["sharded", "pmap"])
def test_devices_agree(whole, on_four_devices, mode):
    assert_same(on_four_devices[mode], whole, "valid/cross_entropy/total", 1e-5)


def main(folder):
    assert jax.device_count() == DEVICES
    jax.config.update("jax_disable_most_optimizations", True)
    for mode in ("sharded", "pmap"):
        np.savez(f"{folder}/{mode}.npz", **train(mode))


if __name__ == "__main__":
    main(sys.argv[1])
