"""Windows drawn on the device are the windows drawn on the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from astro_jax.data.curves import from_arrays
from astro_jax.data.pipeline import TrainBatches
from astro_jax.data.resident import centred, fits, window_resident

WINDOW = 20


def survey(sizes):
    rng = np.random.default_rng(0)
    curves = []
    for n in sizes:
        time = 48_800 + np.sort(rng.uniform(0, 2800, n))
        curves.append(np.stack([time, rng.normal(15, 1, n), rng.uniform(0.01, 0.1, n)], axis=1))
    curves[0][2, 2] = np.nan  # an unknown error
    return from_arrays(curves).with_arrays(label=np.arange(len(sizes)))


@pytest.mark.parametrize("sizes,batch_size", [((25, 3, 40, 11, 7, 90, 20), 3), ((30, 4), 5)])
def test_the_batches_are_the_same(sizes, batch_size):
    curves = survey(sizes)
    config = ConfigDict({"seed": 4, "batch_size": batch_size, "window": WINDOW})
    host = TrainBatches(curves, 4, batch_size, WINDOW)
    resident = window_resident(config, curves)
    arrays = jax.device_put(resident.arrays)
    draw = jax.jit(resident.draw)
    for step, k in ((0, 0), (0, 3), (2, 1), (5, 0), (10**6, 2)):
        ours, theirs = draw(arrays, resident.cursor(step), np.int32(k)), host(step + k)
        times, expected = ours["photometry"].pop("times"), theirs["photometry"].pop("times")
        np.testing.assert_allclose(times, expected, rtol=1.3e-7, atol=2e-7)  # an ulp
        assert jax.tree.structure(ours) == jax.tree.structure(theirs)
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_times_keep_their_seconds():
    time = 59_000 + np.cumsum(np.random.default_rng(1).uniform(1e-4, 30, (2, 200)), axis=1)
    mask = np.ones(time.shape, bool)
    day = np.floor(time)
    ours = centred(jnp.asarray(day, jnp.int32), jnp.asarray(time - day, jnp.float32), mask)
    exact = time - time.mean(1, keepdims=True)
    assert np.abs(ours - exact).max() < 1.5e-4  # half of float32's spacing at 2,048 days
    rough = time.astype(np.float32) - time.astype(np.float32).mean(1, keepdims=True)
    assert np.abs(rough - exact).max() > 1e-3


def test_a_device_that_does_not_tell_its_memory_holds_no_data():
    assert jax.devices()[0].platform != "cpu" or not fits(survey((25, 3)))
