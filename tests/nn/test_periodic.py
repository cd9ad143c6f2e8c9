"""Periodic processes against dense matrices in float64, and the search for their periods."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astro_jax.nn.attention import phase_bias
from astro_jax.nn.periodic import (
    HIGHEST,
    OVERSAMPLING,
    candidate_frequencies,
    cycles_of,
    fourier_processes,
    periodic_grid,
    scan,
)

find = jax.jit(candidate_frequencies, static_argnames="count")
KERNELS = periodic_grid(4, (0.1, 0.7), (0.02, 0.3))
processes = jax.jit(lambda *arrays: fourier_processes(*arrays, KERNELS))


def survey(shape, periods, points=200, noise=0.2, seed=0):
    """Return times [B, T] of nights over 1500 days, magnitudes of variance 1, what is visible."""
    rng = np.random.default_rng(seed)
    night = np.sort(rng.integers(-750, 750, (len(periods), points)), axis=1)
    times = (night + rng.normal(0, 0.1, night.shape)).astype(np.float32)
    phase = times.astype(float) / np.asarray(periods)[:, None]
    mag = shape(2 * np.pi * phase) + noise * rng.normal(size=phase.shape)
    visible = rng.random(phase.shape) < 0.6
    known = np.where(visible, mag, np.nan)
    mag = (mag - np.nanmean(known, 1)[:, None]) / np.nanstd(known, 1)[:, None]
    return times, mag.astype(np.float32), visible


def pulsator(x):
    return np.sin(x) + 0.4 * np.sin(2 * x + 1)


def binary(x):
    """Two eclipses, of which one is half as deep."""
    return np.exp(-8 * (1 - np.cos(x))) + 0.5 * np.exp(-8 * (1 + np.cos(x)))


PERIODS = np.geomspace(0.06, 300, 12)


def recovered(times, mag, visible, periods, count=4):
    """Say which periods are among the candidates, to a twentieth of a cycle over the span."""
    frequency = np.asarray(find(times, mag, visible, count=count))
    assert (frequency <= HIGHEST + 1e-3).all()
    return (np.abs(frequency - 1 / periods[:, None]) * 1500 < 0.1).any(1)


@pytest.mark.parametrize("shape", [np.sin, pulsator])
def test_planted_periods_are_the_first_candidate(shape):
    curves = survey(shape, PERIODS)
    assert recovered(*curves, PERIODS, count=1).sum() >= 11


def test_the_period_of_a_binary_is_among_the_candidates():
    """Most of its power is at twice the frequency."""
    periods = np.geomspace(0.3, 30, 12)
    assert recovered(*survey(binary, periods, noise=0.05), periods).sum() >= 11


def test_candidates_are_apart_from_each_other():
    times, mag, visible = survey(pulsator, PERIODS)
    frequency = np.asarray(find(times, mag, visible, count=4))
    distance = np.abs(frequency[:, :, None] - frequency[:, None]) + 9 * np.eye(4)
    assert (distance.min((1, 2)) * np.ptp(times, axis=1) > 0.9 / OVERSAMPLING).all()


def test_the_scan_is_the_sum_over_the_points():
    times, mag, visible = survey(np.sin, [3.0], points=50)
    mag = np.where(visible, mag, 0)
    power, step = scan(*map(jnp.asarray, (times, mag, visible)))
    for k in (3, 127, 128, 129, 255, 256, 5000):
        wave = np.exp(2j * np.pi * k * float(step[0]) * times[0].astype(float))
        expected = abs((mag[0] * wave).sum()) ** 2
        assert float(power[0, k]) == pytest.approx(expected, rel=1e-3, abs=1e-2)


def dense(time, mag, visible, frequency, decay, noise):
    """Return the posterior mean and the log evidence by matrices in float64."""
    share = decay ** np.arange(KERNELS.harmonics)
    share = (1 - noise) * np.array([0.1, *(0.9 * share / share.sum())])
    lag = time[:, None].astype(float) - time
    prior = sum(q * np.cos(2 * np.pi * h * frequency * lag) for h, q in enumerate(share))
    covariance = prior[np.ix_(visible, visible)] + noise * np.eye(visible.sum())
    weights = np.linalg.solve(covariance, mag[visible])
    evidence = -0.5 * mag[visible] @ weights - 0.5 * np.linalg.slogdet(covariance)[1]
    return prior[:, visible] @ weights, evidence


def test_mean_and_evidence_are_those_of_the_dense_process():
    times, mag, visible = survey(pulsator, [0.7, 40.0], points=80)
    frequency = np.array([[1 / 0.7, 0.2], [1 / 40.0, 0.0]], np.float32)
    mean, evidence = processes(times, mag, visible, frequency)
    assert mean.shape == (2, 80, 8) and evidence.shape == (2, 8)
    for row in range(2):
        for j in range(8):
            kernel = KERNELS.decay[j % 4], KERNELS.noise[j % 4]
            expected, score = dense(
                times[row], mag[row], visible[row], frequency[row, j // 4], *kernel
            )
            np.testing.assert_allclose(mean[row, :, j], expected, atol=5e-3)
            assert float(evidence[row, j]) == pytest.approx(score, rel=2e-3, abs=0.05)


def test_hidden_values_and_padding_change_nothing():
    times, mag, visible = survey(pulsator, [2.3])

    def run(hidden_value, padding):
        rows = times, np.where(visible, mag, hidden_value), visible
        rows = [np.pad(x, ((0, 0), (0, padding))) for x in rows]
        frequency = find(*rows, count=2)
        mean, evidence = processes(*rows, frequency)
        return np.asarray(frequency), np.asarray(mean)[:, :200], np.asarray(evidence)

    plain = run(0.0, 0)
    for a, b in zip(plain, run(1e6, 0), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(plain, run(0.0, 56), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-4)


def test_windows_that_cannot_have_a_period_have_none():
    times = np.linspace(-5, 5, 12, dtype=np.float32)[None].repeat(3, 0)
    times[2] = 0.0
    mag = np.sin(times)
    visible = np.ones((3, 12), bool)
    visible[0, 8:] = visible[1] = False  # eight points, none; and twelve at one time
    frequency = find(times, mag, visible, count=3)
    assert not np.any(frequency)
    mean, evidence = processes(times, mag, visible, frequency)
    assert np.isfinite(mean).all() and np.isfinite(evidence).all()


def test_phases_go_round_once():
    times = jnp.array([[-3.0, 0.25, 0.9]])
    cycles = cycles_of(times, jnp.array([[1.0, 2.0]]))
    np.testing.assert_allclose(cycles[0], [[0, 0.25, -0.1], [0, 0.5, -0.2]], atol=1e-6)
    bias = phase_bias(times, jnp.array([[1.0, 2.0]]), jnp.log(jnp.array([0.5, 0.1])))
    assert bias.shape == (1, 2, 3, 3)
    assert float(bias[0, 0, 1, 2]) == pytest.approx(-0.35 / 0.5, abs=1e-4)
    assert float(bias[0, 1, 0, 2]) == pytest.approx(-0.2 / 0.1, abs=1e-4)
