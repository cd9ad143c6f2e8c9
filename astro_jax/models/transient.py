"""Classifiers of transients: observations of all bands in time order in, classes out at each step.

Both variants have the layers of AstroMCAD (Gupta et al. 2025 RASTI 4 rzae054, used again in arXiv
2502.18558): two GRUs over the observations, a tanh layer, metadata of the object beside it, a relu
layer, the relu layer `latent`, and the classes. They are called with the same batch and return the
same record:

    batch["photometry"]: values [B, T, 4]: wavelength (micrometre), time (0 .. 1 over the window),
        flux and its error (FLUXCAL / 500), see `data.transient_rows`; mask [B, T] bool, True =
        observed
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
from astro_jax.nn.running import running

Batch = Mapping[str, Mapping[str, Array]]


ROWS = 128  # at once on a CPU: a slot is a product by itself, of as many rows (16: 0.77 x the rate)


class Transient(nn.Module):
    """The recommended variant: it is told what the light curve has shown so far, and metadata.

    Beside each observation (flux as asinh) the first GRU reads `nn.running`: maxima, colours and
    pace of five colours, in luminosities where the redshift is known; and the metadata. Metadata
    come with their mask (value 0 where unknown); in training each known one is hidden with
    probability `dropout`, so that one model serves with redshift and without.
    redshift: the place of the redshift among the metadata, -1 = none of them
    Differs from the reference: there the GRU reads wavelength, time, flux and error alone, and
    metadata have no mask, must all be known and come in after the GRUs only.
    """

    classes: int
    width: int = 100
    latent_width: int = 100
    features: int = 2
    redshift: int = 0
    dropout: float = 0.3
    leaves: Sequence[int] = ()
    rows_on_cpu = ROWS

    @nn.compact
    def __call__(self, batch: Batch, train: bool = False) -> dict[str, Array]:
        """Classify; see the module's docstring."""
        values, mask = batch["photometry"]["values"], batch["photometry"]["mask"]
        distance, metadata = jnp.zeros(len(mask)), None
        z_known = jnp.zeros(len(mask), bool)
        if self.features:
            known = batch["metadata"]["mask"]
            if train and self.dropout > 0:
                known = known & keep_features(batch["key"], self.features, self.dropout)
            told = jnp.where(known, batch["metadata"]["values"], 0.0)
            scaled = jnp.arcsinh(told / KNEE)
            if self.redshift >= 0:
                log = log_distance(told[:, self.redshift])
                z_known = known[:, self.redshift]
                scaled = scaled.at[:, self.redshift].set(jnp.where(z_known, log, 0.0))
                distance = 2.0 * log
            metadata = jnp.concatenate([scaled, known], axis=-1)
        shown = [compressed(values), running(values, mask, distance, z_known)]
        if metadata is not None:
            shown.append(repeated(metadata, mask.shape[1]))
        return _classify(self, jnp.concatenate(shown, axis=-1), mask, metadata)


KNEE = 0.05  # metadata enter as asinh(x / KNEE): E(B-V) and host masses alike stay near 1
NEAR = 0.06  # redshift, median of the shared real objects: ln of the distance is 0 there


def log_distance(redshift: Array) -> Array:
    """Return ln of z (1 + z / 2) over its value at z = 0.06: the luminosity distance, roughly.

    Within 5 % of that of flat LCDM below z = 1, up to a constant; z below 0.001 as 0.001.
    """
    z = jnp.maximum(redshift, 1e-3)
    return jnp.log(z * (1.0 + z / 2.0) / (NEAR * (1.0 + NEAR / 2.0)))


def compressed(values: Array) -> Array:
    """Return rows [B, T, 4] with asinh of the flux, and the error to first order."""
    flux = values[..., 2]
    error = values[..., 3] / jnp.sqrt(1.0 + flux**2)
    return jnp.stack([values[..., 0], values[..., 1], jnp.arcsinh(flux), error], axis=-1)


def repeated(metadata: Array, steps: int) -> Array:
    """Return metadata [B, M] at each step, [B, T, M]."""
    return jnp.broadcast_to(metadata[:, None], (len(metadata), steps, metadata.shape[-1]))


class Official(nn.Module):
    """AstroMCAD as released: metadata as they are, 0 where unknown; `features=0` has none."""

    classes: int = 12
    width: int = 100
    latent_width: int = 100
    features: int = 2
    leaves: Sequence[int] = ()
    rows_on_cpu = ROWS

    @nn.compact
    def __call__(self, batch: Batch, train: bool = False) -> dict[str, Array]:
        """Classify; see the module's docstring."""
        metadata = batch["metadata"] if self.features else None
        if metadata is not None:
            metadata = jnp.where(metadata["mask"], metadata["values"], 0.0)
        photometry = batch["photometry"]
        return _classify(self, photometry["values"], photometry["mask"], metadata)


METADATA_WIDTH = 10  # of the metadata branch, in all networks of the reference


def _classify(
    model: Transient | Official, x: Array, mask: Array, metadata: Array | None
) -> dict[str, Array]:
    """Run the network over what it is shown at each step [B, T, C], metadata [B, M] or None."""
    x = GRU(model.width, name="gru_1")(x, mask)
    x = GRU(model.width, name="gru_2")(x, mask)
    x = jnp.tanh(_dense(model.width, "dense_1")(x))
    if metadata is not None:
        beside = _dense(METADATA_WIDTH, "metadata")(metadata)
        x = jnp.concatenate([x, repeated(beside, mask.shape[1])], axis=-1)
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
