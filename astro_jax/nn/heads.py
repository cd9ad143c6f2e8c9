"""Heads on top of an encoder."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from astro_jax.nn.attention import glorot
from astro_jax.nn.processes import Processes


class Decoder(nn.Module):
    """LayerNorm, then one Dense unit: an embedding to a magnitude (ASTROMER's regression layer)."""

    kernel_init: nn.initializers.Initializer = glorot()

    @nn.compact
    def __call__(self, embedding: Array) -> Array:
        """Map [B, T, D] to centred magnitudes [B, T]."""
        x = nn.LayerNorm(epsilon=1e-6, use_fast_variance=False, name="norm")(embedding)
        return nn.Dense(1, kernel_init=self.kernel_init, name="dense")(x)[..., 0]


class ProjectionHead(nn.Module):
    """A linear map into a shared space of `width` dimensions."""

    width: int

    @nn.compact
    def __call__(self, embedding: Array) -> Array:
        """Map [..., D] to [..., width]."""
        return nn.Dense(self.width, kernel_init=glorot(), name="dense")(embedding)


class EvidenceReadout(nn.Module):
    """Predict each magnitude as an average of Gaussian processes, weighted by their evidence.

    The weights over the J processes are softmax(e^a evidence_j + b_j + c_j . x_i): at the start,
    with a = b = c = 0, Bayesian model averaging; then learned, for each point i from its embedding.
    """

    @nn.compact
    def __call__(self, x: Array, processes: Processes) -> tuple[Array, Array]:
        """Return magnitudes and their noise, both [B, T], from embeddings [B, T, D].

        In the units of the processes; the noise is the root of the average share of white noise.
        """
        x = nn.LayerNorm(epsilon=1e-6, use_fast_variance=False, name="norm")(x)
        count = processes.mean.shape[-1]
        local = nn.Dense(count, kernel_init=nn.initializers.zeros, name="weights")(x)
        sharpness = jnp.exp(self.param("log_sharpness", nn.initializers.zeros, ()))
        weights = jax.nn.softmax(sharpness * processes.evidence[:, None] + local, axis=-1)
        return (weights * processes.mean).sum(-1), jnp.sqrt(weights @ processes.noise)
