"""Classifiers: a head on an encoder of the ASTROMER family, or on raw curves.

    model = Classifier(encoder=Smoother(), head=MlpAtt(classes=6))
    model.apply({"params": params}, batch, train=False)

batch["photometry"]: as in `models.astromer`, centred; batch["key"]: [B] random keys, one a row,
needed where `train` is true only.  Parameter paths begin with "encoder/" and "head/".

A head is called with the photometry, the encoder's record ({} without encoder) with the other
arrays of the batch beside it, such as "features" [B, F], and the keys (None when evaluating).  It
returns {"logits": [B, N], "embedding": [B, D]}, the embedding being what it has pooled, before its
own dense layers.  N are the classes.  The reference is the code of the ASTROMER paper (tag v1.0)
with dropout off when evaluating: there the dropout of the recurrent heads is always on.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from astro_jax.errors import UserError, suggest
from astro_jax.models.astromer import Record, unpack
from astro_jax.nn.attention import glorot
from astro_jax.nn.pooling import max_vector, mean_vector, pool, row_dropout
from astro_jax.nn.recurrent import StackedLSTM

Photometry = Mapping[str, Array]


class Classifier(nn.Module):
    """A head on an encoder; the encoder is None where the head reads raw curves."""

    encoder: nn.Module | None
    head: nn.Module

    def __call__(self, batch: Mapping[str, Any], train: bool = False) -> dict[str, Array]:
        """Return {"logits": [B, N], "embedding": [B, D]}; see the module's docstring."""
        return _decide(self, batch, train)


class Regressor(nn.Module):
    """A head with one class, whose logit is the prediction."""

    encoder: nn.Module | None
    head: nn.Module

    def __call__(self, batch: Mapping[str, Any], train: bool = False) -> dict[str, Array]:
        """Return {"prediction": [B] in units of the objective, "embedding": [B, D]}."""
        if self.head.classes != 1:
            raise UserError(f"config.model.head.classes={self.head.classes}; a Regressor has 1")
        output = _decide(self, batch, train)
        return {"prediction": output["logits"][:, 0], "embedding": output["embedding"]}


def _decide(
    model: Classifier | Regressor, batch: Mapping[str, Any], train: bool
) -> dict[str, Array]:
    inputs = {"photometry": batch["photometry"]}
    encoded = {} if model.encoder is None else model.encoder(inputs, train)
    arrays = {name: x for name, x in batch.items() if name not in ("photometry", "key")}
    encoded = {**encoded, **arrays}
    return model.head(batch["photometry"], encoded, batch["key"] if train else None)


class Mlp(nn.Module):
    """Dense layers with relu, LayerNorm (eps 1e-3, as in Keras), Dense to the classes."""

    classes: int
    layers: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map [B, D] to logits [B, N]."""
        for i, width in enumerate(self.layers, start=1):
            x = jax.nn.relu(nn.Dense(width, kernel_init=glorot(), name=f"dense_{i}")(x))
        return nn.Dense(self.classes, kernel_init=glorot(), name="logits")(_norm(x))


def _norm(x: Array) -> Array:
    return nn.LayerNorm(epsilon=1e-3, use_fast_variance=False, name="norm")(x)


class MlpAtt(nn.Module):
    """MLP+ATT of the paper: pool the embeddings of the observations, then an `Mlp`.

    vector: a name of `nn.pooling.POOLINGS`: mean (the paper), first, last, random, or max (the
    `max` head of Astromer 2).
    """

    classes: int
    vector: str = "mean"
    layers: tuple[int, ...] = (1024, 512, 256)

    @nn.compact
    def __call__(
        self, photometry: Photometry, encoded: Record, keys: Array | None
    ) -> dict[str, Array]:
        """Classify by the pooled embedding; see the module's docstring."""
        pooled = pool(self.vector, encoded["embedding"], photometry["mask"], keys)
        return {"logits": Mlp(self.classes, self.layers, name="mlp")(pooled), "embedding": pooled}


class Fusion(nn.Module):
    """Our own head: hand-made features, which know the period, beside the pooled embedding.

    The mean and the largest value of each feature of the embedding over the observations are
    standardised over the features and compressed by a dense layer; `members` small networks with
    dropout see them beside `features` (scaled; see `data.inputs`), and their logits are averaged:
    with few labels one alone depends on where it starts.
    """

    classes: int
    width: int = 32
    hidden: int = 128
    members: int = 8
    rate: float = 0.3

    @nn.compact
    def __call__(
        self, photometry: Photometry, encoded: Record, keys: Array | None
    ) -> dict[str, Array]:
        """Classify by embedding and features; see the module's docstring."""
        if "features" not in encoded:
            raise UserError("the head Fusion needs `inputs` with features; see data.inputs")
        mask, embedding = photometry["mask"], encoded["embedding"]
        pooled = jnp.concatenate(
            [mean_vector(embedding, mask), max_vector(embedding, mask)], axis=-1
        )
        small = nn.Dense(self.width, kernel_init=glorot(), name="compress")(_norm(pooled))
        x = jnp.concatenate([encoded["features"], jax.nn.gelu(small)], axis=-1)
        x = row_dropout(x, keys, self.rate)
        many = {"in_axis": 0, "out_axis": 2, "batch_axis": (1,)}  # a member is a layer of its own
        first = nn.Einsum(
            (x.shape[-1], self.members, self.hidden),
            "bf,fmd->bmd",
            kernel_init=glorot(**many),
            name="hidden",
        )
        last = nn.Einsum(
            (self.hidden, self.members, self.classes),
            "bmd,dmn->bmn",
            kernel_init=glorot(**many),
            name="logits",
        )
        logits = last(row_dropout(jax.nn.gelu(first(x)), keys, self.rate))
        return {"logits": logits.mean(1), "embedding": pooled}


class Skip(nn.Module):
    """The `skip` head of Astromer 2: a learned mean over the depth of the encoder, then an `Mlp`.

    The input embedding and the outputs of the L - 1 blocks are averaged over the observations each,
    weighted by softmax(gamma), and averaged (not summed: a factor 1 / L, as in the released code).
    """

    classes: int
    layers: tuple[int, ...] = (1024, 512, 256)

    @nn.compact
    def __call__(
        self, photometry: Photometry, encoded: Record, keys: Array | None
    ) -> dict[str, Array]:
        """Classify by the pooled layers; see the module's docstring."""
        vectors = jnp.stack([mean_vector(x, photometry["mask"]) for x in encoded["layers"]])
        gamma = self.param("gamma", nn.initializers.zeros, (len(vectors),))
        pooled = (vectors * jax.nn.softmax(gamma)[:, None, None]).mean(0)
        return {"logits": Mlp(self.classes, self.layers, name="mlp")(pooled), "embedding": pooled}


class Lstm(nn.Module):
    """The LSTM baseline of the paper: two LSTMs on time and magnitude, no encoder.

    Both are min-max scaled over the observations.  The reference counts the zeros of padding too,
    which is the same: 0 lies between the extremes of what is centred.
    """

    classes: int
    width: int = 256
    rate: float = 0.3

    @nn.compact
    def __call__(
        self, photometry: Photometry, encoded: Record, keys: Array | None
    ) -> dict[str, Array]:
        """Classify by the last output; see the module's docstring."""
        times, mag, _, mask, _ = unpack({"photometry": photometry})
        curve = min_max(jnp.stack([times, mag], axis=-1), mask)
        return _recurrent(self, curve, mask, keys)


class LstmAtt(nn.Module):
    """LSTM+ATT of the paper: two LSTMs on the embeddings of the observations.

    Each feature is standardised over the observations, or as `normalise` says (see `STANDARDISE`).
    """

    classes: int
    width: int = 256
    rate: float = 0.3
    normalise: str = "observed"

    @nn.compact
    def __call__(
        self, photometry: Photometry, encoded: Record, keys: Array | None
    ) -> dict[str, Array]:
        """Classify by the last output; see the module's docstring."""
        mask = photometry["mask"]
        if self.normalise not in STANDARDISE:
            known = suggest(self.normalise, STANDARDISE)
            raise UserError(f"config.model.head.normalise: no '{self.normalise}'{known}")
        embedding = STANDARDISE[self.normalise](encoded["embedding"], mask)
        return _recurrent(self, embedding, mask, keys)


def _recurrent(head: Lstm | LstmAtt, x: Array, mask: Array, keys: Array | None) -> dict[str, Array]:
    """Run the recurrent network, drop out, and map its last output to logits."""
    last = StackedLSTM(head.width, name="rnn")(x, mask)[:, -1]
    dense = nn.Dense(head.classes, kernel_init=glorot(), name="logits")
    return {"logits": dense(row_dropout(last, keys, head.rate)), "embedding": last}


def min_max(x: Array, where: Array) -> Array:
    """Scale each feature of x [B, T, C] to 0 .. 1 over the slots `where` [B, T]; 0 if constant."""
    where = where[..., None]
    low = jnp.where(where, x, jnp.inf).min(1, keepdims=True)
    high = jnp.where(where, x, -jnp.inf).max(1, keepdims=True)
    spread = high - low
    return jnp.where(spread > 0, (x - low) / jnp.where(spread > 0, spread, 1.0), 0.0)


def standardise(x: Array, where: Array, floor: float = 1e-3) -> Array:
    """Shift and scale each feature of x [B, T, D] to mean 0 and deviation 1 over `where` [B, T].

    floor: added to the deviation in quadrature.  Without it, features that are constant but for
        rounding are blown up to 1: with the released weights half of the 256 deviate by less than
        0.002 in a window, some by 3e-7, and the output of the head moves by 1e-3, in windows of
        five points by 5e-2, with the order in which the mean is summed.
    """
    where = where[..., None]
    count = jnp.maximum(where.sum(1, keepdims=True), 1)
    shifted = x - jnp.where(where, x, 0.0).sum(1, keepdims=True) / count
    shifted = shifted - jnp.where(where, shifted, 0.0).sum(1, keepdims=True) / count  # rounding
    variance = jnp.where(where, shifted**2, 0.0).sum(1, keepdims=True) / count + floor**2
    varies = variance > 0
    return jnp.where(varies, shifted * jax.lax.rsqrt(jnp.where(varies, variance, 1.0)), 0.0)


# By name: (x [B, T, C], mask [B, T]) -> x.  "slots" is the reference: its statistics are those of
# all slots, padding included, so that a window padded to another length is another input.
STANDARDISE = {
    "observed": standardise,
    "slots": lambda x, mask: standardise(x, jnp.ones_like(mask), floor=0.0),
}
