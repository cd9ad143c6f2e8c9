"""AstroM3 (Rizhko & Bloom 2024, arXiv 2411.08842): one tower a modality, one space for all.

    model = AstroM3(towers={"photometry": Informer(), "spectrum": GalSpecNet(), ...})
    output = model.apply({"params": params}, batch, train=False)

A batch holds a record a modality, {"values", "mask"}: light curves [B, T, C] with mask [B, T],
spectra [B, S, C] with mask [B, S], metadata [B, F] with mask [B, F]; True = observed.  An object
lacks a modality where the mask is nowhere True.  The names of the modalities are those of the
towers, so that a light curve in a second band is one more tower in the config and one more record
in the batch.  batch["key"]: [B] random keys, one a row, needed where `train` is true only.

`Official*` are the towers as released; the others differ as their docstrings say.
"""

from collections.abc import Mapping
from itertools import combinations
from math import log
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict
from jax import Array

from astro_jax.nn.attention import key_bias
from astro_jax.nn.informer import Layer, TokenEmbedding, sampled_keys
from astro_jax.nn.linear import Conv, LayerNorm, Linear, hashed_dropout, max_pool
from astro_jax.nn.pooling import mean_vector

Record = Mapping[str, Array]
TAIL_SITE, SECOND_SITE, HIDE_SITE = 1001, 1002, 1003  # of dropout, behind those of the layers
LARGEST_SCALE = 100.0  # of the cosines in the loss; the start, too (CLIP, Radford et al. 2021)


class OfficialInformer(nn.Module):
    """The photometry tower as released: ProbSparse, no mask inside, no pooling.

    What padding holds, and how much there is, changes the result.  The sampled keys [blocks, T, u]
    are `record["draws"]` if given, else drawn from the rng stream "draws", else (when evaluating)
    always the same: there the released code draws anew, which moves a unit embedding by 3e-3.
    """

    width: int = 128
    heads: int = 4
    ffn: int = 512
    blocks: int = 8
    dropout: float = 0.25
    factor: int = 1
    dtype: str = "float32"  # of the blocks' activations, as in `models.astromer`

    @nn.compact
    def __call__(self, record: Record, keys: Array | None) -> Array:
        """Map values [B, T, C] to features [B, T D], 0 at padding."""
        x, mask = record["values"], record["mask"]
        index = record.get("draws")
        if index is None:
            key = self.make_rng("draws") if self.has_rng("draws") else jax.random.key(0)
            shape = (self.blocks, x.shape[1], sampled_keys(x.shape[1], self.factor))
            index = jax.random.randint(key, shape, 0, x.shape[1])
        x = TokenEmbedding(self.width, wrap=True, name="embedding")(x, keys).astype(self.dtype)
        for i in range(self.blocks):
            layer = Layer(self.heads, self.ffn, self.dropout, i, name=f"block_{i}")
            x = layer(x, keys, index[i], None)
        x = LayerNorm(name="norm")(x.astype(jnp.float32))
        x = hashed_dropout(x, keys, self.dropout, TAIL_SITE)
        return (x * mask[..., None]).reshape(len(x), -1)


class Informer(nn.Module):
    """The photometry tower that we recommend: full attention under a mask, masked mean pooling.

    What padding holds never matters, nor does the rest of the batch, and evaluation repeats.
    Differs from the reference: all queries attend to all observed keys, heads are merged by head,
    the first slot has no neighbour at the end, and the mean over the observations replaces the
    25,600 numbers whose projection is most of the released model.
    """

    width: int = 128
    heads: int = 4
    ffn: int = 512
    blocks: int = 8
    dropout: float = 0.25
    dtype: str = "float32"  # of the blocks' activations, as in `models.astromer`
    attention: str = "einsum"  # kind of `nn.attention.masked_attention`

    @nn.compact
    def __call__(self, record: Record, keys: Array | None) -> Array:
        """Map values [B, T, C] to features [B, D]."""
        mask = record["mask"]
        x = jnp.where(mask[..., None], record["values"], 0.0)
        x = TokenEmbedding(self.width, wrap=False, name="embedding")(x, keys).astype(self.dtype)
        bias = key_bias(mask)
        for i in range(self.blocks):
            layer = Layer(self.heads, self.ffn, self.dropout, i, self.attention, name=f"block_{i}")
            x = layer(x, keys, None, bias)
        pooled = mean_vector(LayerNorm(name="norm")(x.astype(jnp.float32)), mask)
        return hashed_dropout(pooled, keys, self.dropout, TAIL_SITE)


class GalSpecNet(nn.Module):
    """The spectrum tower: convolutions of three pixels, relu, and pools of four between them.

    (Wu et al. 2024, AstroCLIP's sibling GalSpecNet, as the released code has it.)  The features
    are channel-major, as the released projections know them.  The grid is that of the input: at
    least 512 pixels.
    """

    channels: tuple[int, ...] = (64, 64, 32, 32)
    pool: int = 4
    dropout: float = 0.25

    @nn.compact
    def __call__(self, record: Record, keys: Array | None) -> Array:
        """Map values [B, S, C] to features [B, F]."""
        x = jnp.where(record["mask"][..., None], record["values"], 0.0)
        for i, width in enumerate(self.channels):
            x = jax.nn.relu(Conv(width, name=f"conv_{i}")(x))
            if i < len(self.channels) - 1:
                x = max_pool(x, self.pool)
        features = x.swapaxes(1, 2).reshape(len(x), -1)
        return hashed_dropout(features, keys, self.dropout, TAIL_SITE)


class OfficialMetadata(nn.Module):
    """The metadata tower as released: two dense layers; an unknown value is 0, the mean."""

    width: int = 512
    dropout: float = 0.25

    @nn.compact
    def __call__(self, record: Record, keys: Array | None) -> Array:
        """Map values [B, F] to features [B, D]."""
        values = jnp.where(record["mask"], record["values"], 0.0)
        return _two_layers(self.width, self.dropout, values, keys)


class Metadata(nn.Module):
    """The metadata tower that we recommend: it is told which values are known.

    hide: share of the known values that are hidden in training, so that a star without some of
        them is nothing new.  Differs from the reference: there all values must be known.
    """

    width: int = 512
    dropout: float = 0.25
    hide: float = 0.1

    @nn.compact
    def __call__(self, record: Record, keys: Array | None) -> Array:
        """Map values [B, F] to features [B, D]."""
        known = record["mask"]
        kept = hashed_dropout(jnp.ones(known.shape), keys, self.hide, HIDE_SITE) > 0
        known = known & kept
        values = jnp.where(known, record["values"], 0.0)
        values = jnp.concatenate([values, known.astype(values.dtype)], axis=-1)
        return _two_layers(self.width, self.dropout, values, keys)


def _two_layers(width: int, rate: float, x: Array, keys: Array | None) -> Array:
    x = hashed_dropout(jax.nn.relu(Linear(width, name="dense_1")(x)), keys, rate, TAIL_SITE)
    return hashed_dropout(jax.nn.relu(Linear(width, name="dense_2")(x)), keys, rate, SECOND_SITE)


class AstroM3(nn.Module):
    """Towers, projections to one space of `space` dimensions, and a scale of the cosines a pair.

    Parameters: towers_<modality>/..., projections_<modality>/..., logit_scale_<a>_<b>, the
    natural logarithm of the factor on the cosines of modalities a and b, a before b in the
    alphabet.
    """

    towers: Mapping[str, nn.Module]
    space: int = 512

    def __post_init__(self) -> None:
        if not isinstance(self.towers, FrozenDict):
            self.towers = FrozenDict(self.towers)  # a module must hash
        super().__post_init__()

    def setup(self) -> None:
        """Make the projections and the scales."""
        self.projections = {name: Linear(self.space) for name in self.towers}
        start = nn.initializers.constant(log(LARGEST_SCALE))
        self.scales = {
            pair: self.param("logit_scale_{}_{}".format(*pair), start, ())
            for pair in pairs(self.towers)
        }

    def __call__(self, batch: Mapping[str, Any], train: bool = False) -> dict[str, Any]:
        """Return unit vectors {"embedding": {modality: [B, D]}} and what they come from.

        Also {"features": {modality: [B, F]}} of the towers, {"projection": {modality: [B, D]}} of
        any length, and {"present": {modality: [B] bool}}.  Modalities that the batch lacks are
        left out; all are needed to draw the first parameters.
        """
        keys = batch["key"] if train else None
        output: dict[str, dict[str, Array]] = {
            part: {} for part in ("features", "projection", "embedding", "present")
        }
        for name in sorted(self.towers):
            if name not in batch:
                continue
            features = self.towers[name](batch[name], keys)
            projection = self.projections[name](features)
            output["features"][name], output["projection"][name] = features, projection
            output["embedding"][name] = unit(projection)
            output["present"][name] = batch[name]["mask"].any(-1)
        return output

    def logit_scales(self) -> dict[tuple[str, str], Array]:
        """Return the factor on the cosines of each pair, at least 1 and at most 100.

        Beyond the limits the gradient is 0, as released; exp(log 100) is beyond in float32, so
        that only weight decay moves the scales at first.
        """
        return {
            pair: jnp.clip(jnp.exp(scale), 1.0, LARGEST_SCALE)
            for pair, scale in self.scales.items()
        }


def pairs(names: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return all pairs of names in alphabetical order."""
    return list(combinations(sorted(names), 2))


def unit(x: Array) -> Array:
    """Scale vectors [..., D] to length 1."""
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


class MeanFusion(nn.Module):
    """Classes from the mean of the unit vectors of the modalities that are there.

    The mean is not scaled to length 1, as released; there all modalities must be there.
    """

    classes: int

    @nn.compact
    def __call__(self, embedding: Record, present: Record) -> dict[str, Array]:
        """Map {modality: [B, D]} to {"logits": [B, N], "embedding": [B, D]}."""
        names = sorted(embedding)
        there = jnp.stack([present[name] for name in names])[..., None]  # [modalities, B, 1]
        vectors = jnp.stack([embedding[name] for name in names])
        fused = jnp.where(there, vectors, 0.0).sum(0) / jnp.maximum(there.sum(0), 1)
        return {"logits": Linear(self.classes, name="dense")(fused), "embedding": fused}


class ConcatFusion(nn.Module):
    """Classes from the unit vectors of all modalities side by side, in alphabetical order.

    A modality that is not there is 0; the batch must have a record for each.
    """

    classes: int

    @nn.compact
    def __call__(self, embedding: Record, present: Record) -> dict[str, Array]:
        """Map {modality: [B, D]} to {"logits": [B, N], "embedding": [B, modalities D]}."""
        parts = [
            jnp.where(present[name][:, None], embedding[name], 0.0) for name in sorted(embedding)
        ]
        fused = jnp.concatenate(parts, axis=-1)
        return {"logits": Linear(self.classes, name="dense")(fused), "embedding": fused}


class FusedClassifier(nn.Module):
    """A head on all modalities; parameters begin with "encoder/" and "head/"."""

    encoder: nn.Module
    head: nn.Module

    def __call__(self, batch: Mapping[str, Any], train: bool = False) -> dict[str, Array]:
        """Return {"logits": [B, N], "embedding": [B, D]}."""
        output = self.encoder(batch, train)
        return self.head(output["embedding"], output["present"])


class TowerClassifier(nn.Module):
    """A dense layer on the features of one tower, without projection, as released."""

    encoder: nn.Module
    modality: str
    classes: int

    @nn.compact
    def __call__(self, batch: Mapping[str, Any], train: bool = False) -> dict[str, Array]:
        """Return {"logits": [B, N], "embedding": [B, F]}."""
        features = self.encoder(batch[self.modality], batch["key"] if train else None)
        return {"logits": Linear(self.classes, name="head")(features), "embedding": features}
