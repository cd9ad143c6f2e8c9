"""The ASTROMER family: light curves in, one vector and one magnitude an observation out.

Every variant is called with the same batch and returns the same record:

    batch["photometry"]: times [B, T] days, centred, increasing; values [B, T, 2] centred magnitude
        and error (0 = unknown error); mask [B, T] bool, True = observed; optionally hidden [B, T]
        bool, True = the magnitude is to be predicted and must not be used
    returns {"embedding": [B, T, D], "reconstruction": [B, T] centred magnitudes, "layers": tuple of
        [B, T, D], the input embedding and the output of each block}; `Smoother` also "evidence"
        [B, J], of each Gaussian process relative to the best, in nats a visible observation (on
        which time scales, how smoothly and how noisily the star varies), and where it has candidate
        periods "frequency" [B, F], cycles a day, best first

`dtype` is what blocks compute and keep their activations in: "bfloat16" is for accelerators.
`attention` is the kind of `nn.attention.masked_attention`; the result is the same.
Parameters, time angles, the embedding layer, norms, softmax and what is returned stay float32.

What padding holds never matters (except in `Official`, where padding is attended to, as there):
it is set to zero on the way in.
"""

import math
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from astro_jax.nn.attention import glorot, kernel_bias, key_bias, official_bias, phase_bias
from astro_jax.nn.blocks import LearnedResidualBlock, PostNormBlock, PreNormBlock
from astro_jax.nn.heads import Decoder, EvidenceReadout
from astro_jax.nn.periodic import candidate_frequencies, cycles_of
from astro_jax.nn.positional import time_encoding
from astro_jax.nn.processes import APERIODIC, processes, significance

Batch = Mapping[str, Mapping[str, Array]]
Record = dict[str, Array | tuple[Array, ...]]
BLOCKS = ("means", "aperiodic", "periodic", "frequency", "count")  # of `summary`, in this order


def unpack(batch: Batch) -> tuple[Array, Array, Array, Array, Array]:
    """Return times, magnitudes, errors, mask, hidden (all [B, T]), with padding set to zero."""
    photometry = batch["photometry"]
    mask = photometry["mask"]
    hidden = photometry.get("hidden", jnp.zeros_like(mask)) & mask
    times = jnp.where(mask, photometry["times"], 0.0)
    values = jnp.where(mask[..., None], photometry["values"], 0.0)
    return times, values[..., 0], values[..., 1], mask, hidden


def summary(record: Record, mask: Array) -> dict[str, Array]:
    """Return what an encoder says of a window, in named blocks of numbers [B, ...].

    means: over the observations, of the input embedding and the output of each block; aperiodic,
    periodic, frequency: the evidence of the processes of both kinds and the logarithm of the
    candidate frequencies, where the encoder has them; count: the logarithm of the number of
    observations
    """
    count = jnp.maximum(mask.sum(-1, keepdims=True), 1).astype(jnp.float32)
    means = [(x * mask[..., None]).sum(1) / count for x in record["layers"]]
    blocks = {"means": jnp.concatenate(means, axis=-1)}
    if "evidence" in record:
        blocks["aperiodic"] = record["evidence"][:, :APERIODIC]
    if "frequency" in record:
        blocks["periodic"] = record["evidence"][:, APERIODIC:]
        blocks["frequency"] = jnp.log(jnp.maximum(record["frequency"], 1e-4))
    return {**blocks, "count": jnp.log(count)}


def summary_vector(record: Record, mask: Array) -> Array:
    """Return the blocks of `summary` side by side, [B, V]."""
    blocks = summary(record, mask)
    return jnp.concatenate([blocks[name] for name in BLOCKS if name in blocks], axis=-1)


class Official(nn.Module):
    """ASTROMER as released (weights `macho_a0`), with its flaws.

    Differs from the paper, as the released code does: +1 instead of -1e9 on masked logits, the
    magnitudes of hidden points are left in the input, padding is attended to, base 10000.
    The dropout of its config was never active, in training neither, and is left out.
    """

    width: int = 256
    heads: int = 4
    ffn: int = 128
    blocks: int = 2
    base: float = 10000.0
    dtype: str = "float32"
    attention: str = "einsum"

    @nn.compact
    def __call__(self, batch: Batch, train: bool = False) -> Record:
        """Encode and reconstruct; see the module's docstring."""
        times, mag, _, mask, hidden = unpack(batch)
        return _transform(self, PostNormBlock, times, mag, official_bias(mask, hidden))


class Paper(nn.Module):
    """ASTROMER as the paper describes it: equation 6, base 1000, hidden magnitudes removed.

    Only the magnitude of a hidden point is removed (set to 0, the mean of the visible ones), its
    time encoding stays; the mask hides keys, never query rows.
    """

    width: int = 256
    heads: int = 4
    ffn: int = 128
    blocks: int = 2
    base: float = 1000.0
    dtype: str = "float32"
    attention: str = "einsum"
    any_length = True  # padding changes nothing

    @nn.compact
    def __call__(self, batch: Batch, train: bool = False) -> Record:
        """Encode and reconstruct; see the module's docstring."""
        times, mag, _, mask, hidden = unpack(batch)
        mag = jnp.where(hidden, 0.0, mag)
        return _transform(self, PostNormBlock, times, mag, key_bias(mask & ~hidden))


class Astromer2(nn.Module):
    """Astromer 2: six blocks with learned residuals, a key mask, and a trained mask token.

    Differs from the released code: there the token is cut out of the graph, so that a hidden
    point still sees its own magnitude through the residual; here it replaces the magnitude.
    """

    width: int = 256
    heads: int = 4
    ffn: int = 512
    blocks: int = 6
    base: float = 10000.0
    dtype: str = "float32"
    attention: str = "einsum"
    any_length = True  # padding changes nothing

    @nn.compact
    def __call__(self, batch: Batch, train: bool = False) -> Record:
        """Encode and reconstruct; see the module's docstring."""
        times, mag, _, mask, hidden = unpack(batch)
        token = self.param("mask_token", nn.initializers.zeros, ())
        mag = jnp.where(hidden, token, mag)
        return _transform(self, LearnedResidualBlock, times, mag, key_bias(mask & ~hidden))


def _transform(
    model: Official | Paper | Astromer2,
    block: type[nn.Module],
    times: Array,
    mag: Array,
    bias: Array,
) -> Record:
    """Embed magnitudes and times, apply the blocks, decode: what the three references share."""
    x = nn.Dense(model.width, kernel_init=glorot(), name="embed")(mag[..., None])
    x = x + time_encoding(times, model.width, model.base)
    layers = [x]
    for i in range(model.blocks):
        x = block(model.heads, model.ffn, model.attention, name=f"block_{i}")(
            x.astype(model.dtype), bias
        )
        layers.append(x.astype(jnp.float32))
    reconstruction = Decoder(name="decoder")(layers[-1])
    return {"embedding": layers[-1], "reconstruction": reconstruction, "layers": tuple(layers)}


class Smoother(nn.Module):
    """The recommended variant: a transformer that starts as a set of kernel smoothers.

    Pre-norm residual blocks; head h of block b adds -|t_i - t_j| / tau_bh to its logits, with
    learned time scales that start log-spaced from 0.5 to 1000 days over heads and blocks, so that
    attention averages over neighbours in time from the first step on, like a Gaussian process.
    What is predicted is an average of Gaussian processes (`EvidenceReadout`), and the decoder
    corrects it, in units of its noise: where a curve is clean there is little to correct.
    Magnitudes enter in units of the scatter of the visible ones, with the logarithm of that scatter
    beside them, and leave in magnitudes. A hidden point enters as a learned token.

    With `candidates` > 0 it knows periods: so many are found in the visible points
    (`candidate_frequencies`); their phases, frequencies and significance enter beside the
    magnitudes, periodic processes at each stand beside the aperiodic ones, and in the second half
    of the heads the distance is one in phase, with learned widths (`phase_bias`).
    """

    width: int = 256
    heads: int = 8
    ffn: int = 512
    blocks: int = 2
    base: float = 10000.0
    shortest: float = 0.5
    longest: float = 1000.0
    candidates: int = 0
    dtype: str = "float32"
    attention: str = "einsum"
    any_length = True  # padding changes nothing

    @nn.compact
    def __call__(self, batch: Batch, train: bool = False) -> Record:
        """Encode and reconstruct; see the module's docstring."""
        times, mag, err, mask, hidden = unpack(batch)
        visible = mask & ~hidden
        scale = visible_scatter(mag, visible)  # [B, 1]
        features = _features(mag / scale, err / scale, scale, hidden)
        frequency = None
        if self.candidates:
            found = candidate_frequencies(times, mag / scale, visible, self.candidates)
            frequency = jax.lax.stop_gradient(found)
        average = processes(times, mag / scale, visible, frequency)
        if frequency is not None:
            known = _periods(times, frequency, significance(average, self.candidates))
            features = jnp.concatenate([features, known], axis=-1)
        loud = nn.initializers.normal(1.0)  # as loud as the time encoding from the start
        x = nn.Dense(self.width, kernel_init=loud, name="embed")(features)
        x = x + time_encoding(times, self.width, self.base)
        layers = [x]
        for i, bias in enumerate(self._biases(times, frequency)):
            block = PreNormBlock(self.heads, self.ffn, self.attention, name=f"block_{i}")
            x = block(x.astype(self.dtype), bias + key_bias(visible))
            layers.append(x.astype(jnp.float32))
        x = layers[-1]
        smooth, noise = EvidenceReadout(name="readout")(x, average)
        correction = noise * Decoder(nn.initializers.zeros, name="decoder")(x)
        record = {
            "embedding": x,
            "reconstruction": (smooth + correction) * scale,
            "layers": tuple(layers),
            "evidence": average.evidence / jnp.maximum(visible.sum(-1, keepdims=True), 1),
        }
        return record if frequency is None else {**record, "frequency": frequency}

    def _biases(self, times: Array, frequency: Array | None) -> list[Array]:
        """Return the biases of the blocks, [B, H, T, T]: distances in time, then in phase."""
        half = 0 if frequency is None else self.heads // 2
        scales = self.param("log_scale", self._log_scales, (self.blocks, self.heads - half))
        if not half:
            return [kernel_bias(times, scale) for scale in scales]
        start = nn.initializers.constant(math.log(0.05))
        widths = self.param("log_phase_width", start, (self.blocks, half))
        best, rest = frequency[:, :1], frequency[:, 1:]
        tried = jnp.concatenate([best, best / 2, rest], axis=1)
        tried = tried[:, jnp.arange(half) % tried.shape[1]]  # [B, H / 2]
        return [
            jnp.concatenate([kernel_bias(times, scale), phase_bias(times, tried, width)], axis=1)
            for scale, width in zip(scales, widths, strict=True)
        ]

    def _log_scales(self, key: Array, shape: tuple[int, int]) -> Array:
        blocks, heads = shape
        spaced = jnp.linspace(jnp.log(self.shortest), jnp.log(self.longest), blocks * heads)
        return spaced.reshape(heads, blocks).T  # every block spans all scales


def _periods(times: Array, frequency: Array, above: Array) -> Array:
    """Stack what the network sees of its candidate periods, [B, T, 4 F].

    frequency, above: [B, F], cycles a day and significance in nats, of which the logarithm counts
    """
    angle = 2 * jnp.pi * cycles_of(times, frequency)  # [B, F, T]
    constant = [jnp.log(jnp.maximum(frequency, 1e-4)) / 4, jnp.arcsinh(above / 4) / 2]
    constant = [jnp.broadcast_to(c[..., None], angle.shape) for c in constant]
    stacked = jnp.concatenate([jnp.cos(angle), jnp.sin(angle), *constant], axis=1)
    return stacked.swapaxes(1, 2)


def visible_scatter(mag: Array, visible: Array, floor: float = 1e-3) -> Array:
    """Return the standard deviation of the visible magnitudes, at least `floor` mag, [B, 1]."""
    count = jnp.maximum(visible.sum(-1, keepdims=True), 1)
    mean = jnp.where(visible, mag, 0.0).sum(-1, keepdims=True) / count
    square = jnp.where(visible, (mag - mean) ** 2, 0.0).sum(-1, keepdims=True) / count
    return jnp.sqrt(square + floor**2)


def _features(mag: Array, err: Array, scale: Array, hidden: Array) -> Array:
    """Stack what the network sees of an observation, [B, T, 5]."""
    channels = [
        jnp.where(hidden, 0.0, mag),
        jnp.where(hidden, 0.0, jnp.log1p(err)),
        (err > 0) & ~hidden,
        hidden,
        jnp.broadcast_to(jnp.log(scale), mag.shape),
    ]
    return jnp.stack([jnp.asarray(c, jnp.float32) for c in channels], axis=-1)
