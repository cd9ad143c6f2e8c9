"""The Kalman recursion gives what the dense Gaussian process gives."""

import jax.numpy as jnp
import numpy as np
import pytest
from dense_gp import dense

from astro_jax.nn.matern import grid, posterior, transition


def curve(points=150, span=300.0, seed=0):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0, span, points))
    visible = rng.random(points) < 0.6
    return time, np.sin(time / 9) + 0.1 * rng.normal(size=points), visible


@pytest.mark.parametrize("order", [0, 1, 2])
def test_posterior_and_evidence_are_those_of_the_dense_process(order):
    time, value, visible = curve()
    kernels = grid(order, (2.0, 30.0, 400.0), (0.01, 0.3))
    rows = [jnp.asarray(x, dtype)[None] for x, dtype in
            ((time, jnp.float32), (value, jnp.float32), (visible, bool))]  # fmt: skip
    mean, evidence = posterior(*rows, kernels)
    for j, (scale, noise) in enumerate(zip(kernels.scale, kernels.noise, strict=True)):
        expected, score = dense(time, value, visible, order, scale, noise)
        np.testing.assert_allclose(mean[0, :, j], expected, atol=2e-4)
        assert float(evidence[0, j]) == pytest.approx(score, rel=1e-3, abs=0.02)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_two_steps_are_one_long_step(order):
    one, two = transition(order, jnp.array(0.7)), transition(order, jnp.array(1.1))
    np.testing.assert_allclose(one @ two, transition(order, jnp.array(1.8)), atol=1e-6)


def test_padding_and_hidden_values_change_nothing():
    time, value, visible = curve(40)
    kernels = grid(2, (10.0,), (0.05,))

    def run(hidden_value, padding):
        values = np.where(visible, value, hidden_value)
        rows = [np.pad(x, (0, padding))[None] for x in (time, values, visible)]
        mean, evidence = posterior(*map(jnp.asarray, rows), kernels)
        return np.asarray(mean)[0, :40], np.asarray(evidence)

    plain = run(0.0, 0)
    for other in (run(1e6, 0), run(0.0, 25)):
        np.testing.assert_array_equal(plain[0], other[0])
        np.testing.assert_array_equal(plain[1], other[1])


def test_nothing_visible_gives_the_prior():
    mean, evidence = posterior(
        jnp.zeros((1, 5)), jnp.ones((1, 5)), jnp.zeros((1, 5), bool), grid(1, (3.0,), (0.1,))
    )
    assert not np.any(mean) and not np.any(evidence)
