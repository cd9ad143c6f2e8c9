"""From one vector an observation to one a window, and dropout that belongs to a row.

`mask` is [B, T] bool, True = observed; what stands elsewhere never matters. A window without any
observation pools to 0.
"""

import jax
import jax.numpy as jnp
from jax import Array

from astro_jax.errors import UserError, suggest


def mean_vector(x: Array, mask: Array, keys: Array | None = None) -> Array:
    """Average the vectors [B, T, D] of the observations, [B, D]."""
    total = jnp.where(mask[..., None], x, 0.0).sum(1)
    return total / jnp.maximum(mask.sum(1), 1)[:, None]


def max_vector(x: Array, mask: Array, keys: Array | None = None) -> Array:
    """Take the largest value of each feature [B, T, D] over the observations, [B, D]."""
    largest = jnp.where(mask[..., None], x, -jnp.inf).max(1)
    return jnp.where(mask.any(1)[:, None], largest, 0.0)


def first_vector(x: Array, mask: Array, keys: Array | None = None) -> Array:
    """Take the vector of the first observation, [B, D]."""
    return _nth_vector(x, mask, jnp.zeros(len(mask), jnp.int32))


def last_vector(x: Array, mask: Array, keys: Array | None = None) -> Array:
    """Take the vector of the last observation, [B, D]."""
    return _nth_vector(x, mask, mask.sum(1) - 1)


def random_vector(x: Array, mask: Array, keys: Array | None = None) -> Array:
    """Take the vector of an observation drawn at random, [B, D].

    keys: [B], one a row; without (when evaluating), the draw depends on the number of
    observations only, so that a prediction can be repeated.
    """
    count = mask.sum(1)
    if keys is None:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), count)
    share = jax.vmap(jax.random.uniform)(keys)
    return _nth_vector(x, mask, jnp.minimum(jnp.floor(share * count), count - 1))


def _nth_vector(x: Array, mask: Array, n: Array) -> Array:
    """Take the vector of observation n [B], counted from 0."""
    slot = jnp.argmax(jnp.cumsum(mask, axis=1) > n[:, None], axis=1)
    chosen = jnp.take_along_axis(x, slot[:, None, None], axis=1)[:, 0]
    return jnp.where(mask.any(1)[:, None], chosen, 0.0)


POOLINGS = {
    "mean": mean_vector,
    "max": max_vector,
    "first": first_vector,
    "last": last_vector,
    "random": random_vector,
}


def pool(name: str, x: Array, mask: Array, keys: Array | None = None) -> Array:
    """Pool [B, T, D] to [B, D] by the function of that name in `POOLINGS`.

    Raises UserError where there is none.
    """
    if name not in POOLINGS:
        raise UserError(f"no pooling '{name}'{suggest(name, POOLINGS)}")
    return POOLINGS[name](x, mask, keys)


def row_dropout(x: Array, keys: Array | None, rate: float) -> Array:
    """Set a share `rate` of x [B, ...] to 0 and scale up the rest; return x without keys.

    keys: [B] random keys, one a row, None when evaluating.  A row then has the same dropout
    wherever it stands: in a micro-batch, on another device, in another order.
    """
    if keys is None or not rate:
        return x

    def drop(row: Array, key: Array) -> Array:
        kept = jax.random.bernoulli(key, 1.0 - rate, row.shape)
        return jnp.where(kept, row / (1.0 - rate), 0.0)

    return jax.vmap(drop)(x, keys)
