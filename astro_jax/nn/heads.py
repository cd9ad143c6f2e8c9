"""Heads on top of an encoder."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from astro_jax.nn.attention import glorot
from astro_jax.nn.matern import grid, posterior


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


# The kernels that a window can choose from, by the evidence: scales in days, shares of noise.
NOISES = (0.003, 0.02, 0.1, 0.3, 0.6)
KERNELS = (
    grid(0, (0.3, 1.0, 10.0, 100.0), NOISES),
    grid(1, (1.0, 4.0, 16.0, 64.0, 256.0), NOISES),
    grid(2, (4.0, 16.0, 64.0, 256.0, 1000.0), NOISES),
)


class EvidenceReadout(nn.Module):
    """Predict each magnitude as an average of Gaussian processes, weighted by their evidence.

    The weights over the J processes of `KERNELS` are softmax(e^a evidence_j + b_j + c_j . x_i): at
    the start, with a = b = c = 0, Bayesian model averaging; then learned, for each point i from its
    embedding.  The processes depend on the visible magnitudes alone and have nothing to learn, so
    that no gradient goes through them.
    """

    @nn.compact
    def __call__(self, x: Array, mag: Array, times: Array, visible: Array) -> tuple[Array, Array]:
        """Return magnitudes [B, T] from embeddings [B, T, D] and what is visible [B, T].

        mag: centred, in units of the scatter of the visible ones.  Also returns the evidence of
        each process relative to the best, in nats an observation, [B, J]: on which time scales, how
        smoothly and how noisily the star varies.
        """
        parts = [posterior(times, mag, visible, kernels) for kernels in KERNELS]
        mean, evidence = (
            jax.lax.stop_gradient(jnp.concatenate(part, -1)) for part in zip(*parts, strict=True)
        )
        x = nn.LayerNorm(epsilon=1e-6, use_fast_variance=False, name="norm")(x)
        local = nn.Dense(evidence.shape[-1], kernel_init=nn.initializers.zeros, name="weights")(x)
        sharpness = jnp.exp(self.param("log_sharpness", nn.initializers.zeros, ()))
        relative = evidence - evidence.max(-1, keepdims=True)
        weights = jax.nn.softmax(sharpness * relative[:, None] + local, axis=-1)  # [B, T, J]
        count = jnp.maximum(visible.sum(-1, keepdims=True), 1)
        return (weights * mean).sum(-1), relative / count
