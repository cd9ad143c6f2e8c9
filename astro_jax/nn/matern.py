"""Gaussian processes with Matern kernels in O(T): posterior mean and evidence of many kernels.

A Matern process of half-integer order is the first component of a linear stochastic differential
equation, so that a Kalman filter and a backward smoother give the exact posterior in time linear in
the number of observations (Hartikainen and Sarkka 2010; Rasmussen and Williams 2006, section 5.4).
The state is f and its derivatives in units of the rate: well scaled in float32 for every time step.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


class Kernels(NamedTuple):
    """J kernels of one order p: Matern p + 1/2, that is p = 0 Ornstein-Uhlenbeck, 1, 2.

    scale: [J] days, the tau of R&W eq. 4.14; noise: [J] the share of white noise in the variance.
    """

    order: int
    scale: np.ndarray
    noise: np.ndarray


def grid(order: int, scales: tuple[float, ...], noises: tuple[float, ...]) -> Kernels:
    """Return the kernels of all pairs of time scales (days) and shares of noise."""
    return Kernels(order, *pairs(scales, noises))


def pairs(first: tuple[float, ...], second: tuple[float, ...]) -> tuple[np.ndarray, ...]:
    """Return all pairs of two lists, the second running fastest, as two float32 arrays."""
    grids = np.meshgrid(first, second, indexing="ij")
    return tuple(x.ravel().astype(np.float32) for x in grids)


# Stationary covariance of the scaled state, by order.
STATIONARY = (
    np.eye(1),
    np.eye(2),
    np.array([[1.0, 0.0, -1 / 3], [0.0, 1 / 3, 0.0], [-1 / 3, 0.0, 1.0]]),
)


def transition(order: int, step: Array) -> Array:
    """Return the matrix exponential of the scaled state over `step` (rate times dt), [..., n, n].

    n = order + 1; the companion matrix has the eigenvalue -1 n times.
    """
    s, one = step, jnp.ones_like(step)
    rows = (
        [[one]],
        [[1 + s, s], [-s, 1 - s]],
        [
            [1 + s + s**2 / 2, s + s**2, s**2 / 2],
            [-(s**2) / 2, 1 + s - s**2, s - s**2 / 2],
            [s**2 / 2 - s, s**2 - 3 * s, 1 - 2 * s + s**2 / 2],
        ],
    )[order]
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2) * jnp.exp(-s)[..., None, None]


def posterior(times: Array, values: Array, visible: Array, kernels: Kernels) -> tuple[Array, Array]:
    """Return the posterior mean at all times [B, T, J] and the log evidence [B, J].

    times: [B, T] days, not decreasing where it counts; values: [B, T], in units in which the
        signal and noise together have variance 1; visible: [B, T] bool, True = counts as data
    The evidence leaves out the constant -n/2 log(2 pi).
    """
    n, noise = kernels.order + 1, jnp.asarray(kernels.noise)
    rate = np.sqrt(2 * kernels.order + 1) / kernels.scale  # R&W eq. 4.14
    prior = (1 - noise)[:, None, None] * STATIONARY[kernels.order]  # [J, n, n]
    # behind the last observation time may jump back to 0: a step of no length
    steps = jnp.maximum(jnp.diff(times, axis=1, prepend=times[:, :1]), 0.0)
    data = (steps.T, jnp.where(visible, values, 0.0).T, visible.T)

    def forward(carry: tuple, observation: tuple) -> tuple[tuple, tuple]:
        state, covariance, evidence = carry  # [B, J, n], [B, J, n, n], [B, J]
        step, value, seen = (x[:, None] for x in observation)
        move = transition(kernels.order, step * rate)
        state = jnp.einsum("bjmn,bjn->bjm", move, state)
        covariance = prior + jnp.einsum("bjmn,bjnk,bjlk->bjml", move, covariance - prior, move)
        row = covariance[..., 0, :]
        variance = row[..., 0] + noise
        residual = jnp.where(seen, value - state[..., 0], 0.0)
        gain = jnp.where(seen[..., None], row / variance[..., None], 0.0)
        fit = residual**2 / variance + jnp.where(seen, jnp.log(variance), 0.0)
        new = state + gain * residual[..., None]
        smaller = covariance - gain[..., :, None] * row[..., None, :]
        kept = (new[..., 0], smaller[..., 0, :], move, gain, residual / variance)
        return (new, smaller, evidence - 0.5 * fit), kept

    def backward(carry: Array, kept: tuple) -> tuple[Array, Array]:
        """Take one step of the smoother of Bryson and Frazier, which inverts nothing."""
        filtered, row, move, gain, innovation = kept
        mean = filtered - (row * carry).sum(-1)
        adjoint = carry.at[..., 0].add(-innovation - (gain * carry).sum(-1))
        return jnp.einsum("bjmn,bjm->bjn", move, adjoint), mean

    batch, count = times.shape[0], len(kernels.scale)
    zero = jnp.zeros((batch, count, n))
    start = (zero, jnp.broadcast_to(prior, (batch, count, n, n)), zero[..., 0])
    (_, _, evidence), kept = jax.lax.scan(forward, start, data)
    _, mean = jax.lax.scan(backward, zero, kept, reverse=True)
    return mean.transpose(1, 0, 2), evidence
