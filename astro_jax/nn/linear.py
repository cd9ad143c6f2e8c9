"""Layers initialised and laid out as the released AstroM3 has them, and a cheap dropout by row."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from astro_jax.data.sampling import mix


def fan_in_uniform(fan_in: int) -> nn.initializers.Initializer:
    """Return the uniform distribution within +-1 / sqrt(fan_in), for kernels and biases.

    The default of PyTorch's Linear and Conv1d layers.
    """

    def draw(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -1.0, 1.0) * fan_in**-0.5

    return draw


def flat_product(x: Array, kernel: Array) -> Array:
    """Return x [..., C] times kernel [C, D] as one product of two matrices, in the type of x.

    The gradient of a kernel that meets three axes takes XLA twice the time on a CPU.
    """
    return (x.reshape(-1, x.shape[-1]) @ kernel.astype(x.dtype)).reshape(
        *x.shape[:-1], kernel.shape[-1]
    )


def erf_gelu(x: Array) -> Array:
    """Return x Phi(x) by the error function, as PyTorch computes it; twice as fast as by erfc."""
    return 0.5 * x * (1.0 + jax.lax.erf(x * 0.5**0.5))


class Linear(nn.Module):
    """A dense layer with the initialisers of PyTorch: kernel [C, width], bias [width]."""

    width: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map [..., C] to [..., width]."""
        draw = fan_in_uniform(x.shape[-1])
        kernel = self.param("kernel", draw, (x.shape[-1], self.width))
        bias = self.param("bias", draw, (self.width,))
        return flat_product(x, kernel) + bias.astype(x.dtype)


class HeadLinear(nn.Module):
    """Query, key and value of all heads by one product: kernel [D, 3, H, K], bias [3, H, K].

    Split and not indexed: the gradient is then a concatenation, and not a sum of three padded
    arrays, which costs a step of ASTROMER a tenth of its time on a CPU.
    """

    heads: int
    kernel_init: nn.initializers.Initializer
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, ...]:
        """Map x [B, T, D] to query, key and value, [B, H, T, K] each."""
        width = x.shape[-1]
        if width % self.heads:
            raise ValueError(f"width {width} is not divisible by {self.heads} heads")
        shape = (3, self.heads, width // self.heads)
        kernel = self.param("kernel", self.kernel_init, (width, *shape))
        bias = self.param("bias", self.bias_init, shape)
        flat = flat_product(x, kernel.reshape(width, -1)) + bias.astype(x.dtype).ravel()
        parts = jnp.split(flat, 3, axis=-1)
        return tuple(part.reshape(*x.shape[:-1], *shape[1:]).swapaxes(1, 2) for part in parts)


def layer_norm(name: str, dtype: jnp.dtype = jnp.float32) -> nn.LayerNorm:
    """Return a layer norm with PyTorch's eps of 1e-5 and the two-pass variance, float32 inside."""
    return nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, dtype=dtype, name=name)


class Conv(nn.Module):
    """A convolution over the second axis without padding, as one matrix product.

    Parameters: kernel [size, C, width] and bias [width].  On a CPU the product of the unfolded
    input is several times faster than XLA's convolution, above all backwards.
    """

    width: int
    size: int = 3
    bias: bool = True
    kernel_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map [B, S, C] to [B, S - size + 1, width]."""
        channels = x.shape[-1]
        draw = fan_in_uniform(channels * self.size)
        shape = (self.size, channels, self.width)
        kernel = self.param("kernel", self.kernel_init or draw, shape)
        length = x.shape[1] - self.size + 1
        unfolded = jnp.concatenate([x[:, k : k + length] for k in range(self.size)], axis=-1)
        y = flat_product(unfolded, kernel.reshape(-1, self.width))
        return y + self.param("bias", draw, (self.width,)) if self.bias else y


def max_pool(x: Array, size: int) -> Array:
    """Take the largest of each `size` values over the second axis; a rest is left out.

    As reshape and max, whose backward pass is deterministic on every device.
    """
    batch, length, channels = x.shape
    whole = length // size
    return x[:, : whole * size].reshape(batch, whole, size, channels).max(2)


def hashed_dropout(x: Array, keys: Array | None, rate: float, site: int) -> Array:
    """Set a share `rate` of x [B, ...] to 0 and scale up the rest; return x without keys.

    keys: [B] random keys, one a row, None when evaluating; site: the number of the place in the
        network, so that no two places drop alike.  A row then has the same dropout wherever it
        stands.  The bits come from the integer hash of `data.sampling`: Threefry, at 12 ns a value
        on a CPU core, would take a third of the time of an Informer.
    """
    if keys is None or not rate:
        return x
    words = jax.random.key_data(keys).astype(jnp.uint32)
    seed = mix(mix(words[:, 0] + jnp.uint32(site)) ^ words[:, -1])
    counter = jnp.arange(x[0].size, dtype=jnp.uint32)
    drawn = mix(mix(counter)[None] ^ seed[:, None]).reshape(x.shape)
    kept = drawn >= jnp.uint32(int(rate * 2**32))
    return jnp.where(kept, x * (1.0 / (1.0 - rate)), 0.0)
