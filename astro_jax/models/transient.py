"""Classifiers of transients: observations of all bands in time order in, classes out at each step.

Both variants are the network of AstroMCAD (Gupta et al. 2025 RASTI 4 rzae054, used again in arXiv
2502.18558): two GRUs over the observations, a tanh layer, metadata of the object beside it, a relu
layer, the relu layer `latent`, and the classes. They are called with the same batch and return the
same record:

    batch["photometry"]: values [B, T, 4]: wavelength (micrometre), time (0 .. 1 over the window),
        flux and its error (scaled), see `data.transient_rows`; mask [B, T] bool, True = observed
    batch["metadata"]: values [B, F] and mask [B, F] bool, True = known; only where features > 0
    batch["key"]: [B] random keys, one a row, needed where `train` is true only
    leaves: the class of each output, for a network that knows sub-types: the probability of a class
        is the sum over its outputs; () = one output a class
    returns {"logits": [B, N], "embedding": [B, D]} after the last observation, D = latent_width,
        and {"step_logits": [B, T, N]} after each: a step knows nothing of later ones

What padding and unknown metadata hold never matters. The layers act on each step, so that the
output of a curve cut short is the output at that step.
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from astro_jax.nn.attention import glorot
from astro_jax.nn.recurrent import GRU

Batch = Mapping[str, Mapping[str, Array]]


class Transient(nn.Module):
    """The recommended variant: metadata with a mask, and dropout of whole metadata in training.

    The metadata branch sees value (0 where unknown) and mask of each feature; in training each
    known feature is hidden with probability `dropout`, so that one model serves with redshift and
    without.
    Differs from the reference: there metadata have no mask and must all be known.
    """

    classes: int
    width: int = 100
    latent_width: int = 100
    features: int = 2
    dropout: float = 0.3
    leaves: Sequence[int] = ()

    @nn.compact
    def __call__(self, batch: Batch, train: bool = False) -> dict[str, Array]:
        """Classify; see the module's docstring."""
        if not self.features:
            return _classify(self, batch, None)
        known = batch["metadata"]["mask"]
        if train and self.dropout > 0:
            known = known & keep_features(batch["key"], self.features, self.dropout)
        values = jnp.where(known, batch["metadata"]["values"], 0.0)
        return _classify(self, batch, jnp.concatenate([values, known], axis=-1))


class Official(nn.Module):
    """AstroMCAD as released: metadata as they are, 0 where unknown; `features=0` has none."""

    classes: int = 12
    width: int = 100
    latent_width: int = 100
    features: int = 2
    leaves: Sequence[int] = ()

    @nn.compact
    def __call__(self, batch: Batch, train: bool = False) -> dict[str, Array]:
        """Classify; see the module's docstring."""
        if not self.features:
            return _classify(self, batch, None)
        metadata = batch["metadata"]
        return _classify(self, batch, jnp.where(metadata["mask"], metadata["values"], 0.0))


METADATA_WIDTH = 10  # of the metadata branch, in all networks of the reference


def _classify(
    model: Transient | Official, batch: Batch, metadata: Array | None
) -> dict[str, Array]:
    """Run the network over rows [B, T, 4] with metadata [B, M] or None."""
    mask = batch["photometry"]["mask"]
    x = GRU(model.width, name="gru_1")(batch["photometry"]["values"], mask)
    x = GRU(model.width, name="gru_2")(x, mask)
    x = jnp.tanh(_dense(model.width, "dense_1")(x))
    if metadata is not None:
        beside = _dense(METADATA_WIDTH, "metadata")(metadata)[:, None]
        beside = jnp.broadcast_to(beside, (*x.shape[:2], METADATA_WIDTH))
        x = jnp.concatenate([x, beside], axis=-1)
    x = jax.nn.relu(_dense(model.width, "dense_3")(x))
    x = jax.nn.relu(_dense(model.latent_width, "latent")(x))
    logits = _dense(len(model.leaves) or model.classes, "output")(x)
    if model.leaves:
        logits = summed(logits, model.leaves, model.classes)
    # the state is carried over padding: the last slot is that of the last observation
    return {"logits": logits[:, -1], "embedding": x[:, -1], "step_logits": logits}


def summed(logits: Array, leaves: Sequence[int], classes: int) -> Array:
    """Return the logits [..., N] of classes from those of their sub-types [..., len(leaves)].

    A class is as probable as its sub-types together: log sum exp.
    """
    members = [[k for k, c in enumerate(leaves) if c == n] for n in range(classes)]
    columns = [jax.nn.logsumexp(logits[..., jnp.array(m)], axis=-1) for m in members]
    return jnp.stack(columns, axis=-1)


def _dense(width: int, name: str) -> nn.Dense:
    return nn.Dense(width, kernel_init=glorot(), name=name)


def keep_features(keys: Array, features: int, rate: float) -> Array:
    """Draw which features of each row stay, [B, features] bool, from the keys of the rows [B]."""
    return jax.vmap(lambda key: jax.random.bernoulli(key, 1.0 - rate, (features,)))(keys)
