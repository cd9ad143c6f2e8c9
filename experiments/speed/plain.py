"""The same networks in plain, straightforward JAX: the reference column of the speed table.

Written the way the equations read: three projections, heads behind length, sine and cosine under a
`where`, gathered keys, `lax` convolutions, the input product of a GRU inside its loop, Threefry
dropout; float32, the batch in one piece, one sample after the other through Grain.  The parameters
are those of the package, so that the outputs can be compared.
"""

from collections.abc import Callable, Mapping
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

Params = Mapping[str, Any]


def dense(p: Params, x: Array) -> Array:
    """Map [..., C] to [..., D]."""
    return x @ p["kernel"] + p["bias"]


def norm(p: Params, x: Array, eps: float) -> Array:
    """Normalise over the last axis."""
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + eps) * p["scale"] + p["bias"]


def heads_of(p: Params, x: Array) -> list[Array]:
    """Return query, key and value, [B, T, H, K] each, from three projections."""
    return [jnp.einsum("btd,dhk->bthk", x, p["kernel"][:, c]) + p["bias"][c] for c in range(3)]


# ASTROMER


def astromer(params: Params, photometry: Mapping, base: float = 1000.0) -> dict[str, Array]:
    """Return embedding and reconstruction of `models.astromer.Paper`."""
    mask, hidden = photometry["mask"], photometry.get("hidden", False)
    times = jnp.where(mask, photometry["times"], 0.0)
    mag = jnp.where(mask & ~jnp.asarray(hidden), photometry["values"][..., 0], 0.0)
    width = params["embed"]["kernel"].shape[1]
    j = jnp.arange(width)
    angle = times[..., None] * base ** (-2.0 * j / width)
    x = dense(params["embed"], mag[..., None])
    x = x + jnp.where(j % 2 == 0, jnp.sin(angle), jnp.cos(angle))
    blocked = jnp.where(mask & ~jnp.asarray(hidden), 0.0, -1e9)[:, None, None, :]
    for i in range(sum(name.startswith("block_") for name in params)):
        p = params[f"block_{i}"]
        query, key, value = heads_of(p["attention"]["qkv"], x)
        logits = jnp.einsum("bthk,bshk->bhts", query, key) / jnp.sqrt(query.shape[-1])
        weights = jax.nn.softmax(logits + blocked, axis=-1)
        mixed = jnp.einsum("bhts,bshk->bthk", weights, value)
        out = p["attention"]["out"]
        x = norm(p["norm_1"], jnp.einsum("bthk,hkd->btd", mixed, out["kernel"]) + out["bias"], 1e-6)
        x = norm(p["norm_2"], dense(p["dense_2"], jnp.tanh(dense(p["dense_1"], x))), 1e-6)
    last = params["decoder"]
    return {
        "embedding": x,
        "reconstruction": dense(last["dense"], norm(last["norm"], x, 1e-6))[..., 0],
    }


def astromer_apply(variables: Mapping, batch: Mapping, train: bool = False) -> dict[str, Array]:
    """Call `astromer` as an objective calls a model."""
    return astromer(variables["params"], batch["photometry"])


# AstroM3, as released


def dropout(x: Array, key: Array | None, rate: float) -> Array:
    """Set a share of x to 0; return x without a key."""
    if key is None:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0.0)


def informer(p: Params, record: Mapping, index: Array, key: Array | None, rate: float) -> Array:
    """Return the features of `OfficialInformer`, [B, T D]; index [blocks, T, u] sampled keys."""
    from astro_jax.nn.informer import slot_encoding

    keys = [None] * 100 if key is None else list(jax.random.split(key, 100))
    wrapped = jnp.pad(record["values"], ((0, 0), (1, 1), (0, 0)), mode="wrap")
    x = convolution(p["embedding"]["conv"], wrapped)
    x = dropout(x + slot_encoding(x.shape[1], x.shape[2]), keys.pop(), 0.1)
    for i in range(len(index)):
        q = p[f"block_{i}"]
        mixed = gathered_sparse(*heads_of(q["attention"]["qkv"], x), index[i]).reshape(x.shape)
        attended = dense(q["attention"]["out"], mixed)
        x = norm(q["norm_1"], x + dropout(attended, keys.pop(), rate), 1e-5)
        hidden = jax.nn.gelu(dense(q["dense_1"], x), approximate=False)
        hidden = dense(q["dense_2"], dropout(hidden, keys.pop(), rate))
        x = norm(q["norm_2"], x + dropout(hidden, keys.pop(), rate), 1e-5)
    x = dropout(norm(p["norm"], x, 1e-5), keys.pop(), rate)
    return (x * record["mask"][..., None]).reshape(len(x), -1)


def gathered_sparse(query: Array, key: Array, value: Array, index: Array) -> Array:
    """Return ProbSparse attention [B, H, T, K] of [B, T, H, K]: gather the keys, then scatter."""
    query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))
    count = index.shape[1]
    sampled = jnp.einsum("bhtk,bhtuk->bhtu", query, key[:, :, index])
    measure = sampled.max(-1) - sampled.sum(-1) / query.shape[2]
    top = jax.lax.top_k(measure, count)[1]
    active = jnp.take_along_axis(query, top[..., None], axis=2)
    logits = jnp.einsum("bhuk,bhsk->bhus", active, key) / jnp.sqrt(query.shape[-1])
    found = jnp.einsum("bhus,bhsk->bhuk", jax.nn.softmax(logits), value)
    context = jnp.broadcast_to(value.mean(2, keepdims=True), value.shape)
    b, h = jnp.arange(len(query))[:, None, None], jnp.arange(query.shape[1])[None, :, None]
    return context.at[b, h, top].set(found)


def convolution(p: Params, x: Array) -> Array:
    """Convolve [B, S, C] with a kernel [3, C, D], without padding."""
    y = jax.lax.conv_general_dilated(
        x, p["kernel"], (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
    )
    return y + p["bias"] if "bias" in p else y


def spectrum(p: Params, record: Mapping, key: Array | None, rate: float) -> Array:
    """Return the features of `GalSpecNet`."""
    x = jnp.where(record["mask"][..., None], record["values"], 0.0)
    for i in range(len(p)):
        x = jax.nn.relu(convolution(p[f"conv_{i}"], x))
        if i < len(p) - 1:
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 4, 1), (1, 4, 1), "VALID")
    return dropout(x.swapaxes(1, 2).reshape(len(x), -1), key, rate)


def metadata(p: Params, record: Mapping, key: Array | None, rate: float) -> Array:
    """Return the features of `OfficialMetadata`."""
    keys = [None, None] if key is None else jax.random.split(key)
    x = jnp.where(record["mask"], record["values"], 0.0)
    x = dropout(jax.nn.relu(dense(p["dense_1"], x)), keys[0], rate)
    return dropout(jax.nn.relu(dense(p["dense_2"], x)), keys[1], rate)


def astrom3(
    params: Params, batch: Mapping, index: Array, key: Array | None = None, rate: float = 0.0
) -> dict[str, Array]:
    """Return the unit vectors of each modality."""
    keys = [None] * 3 if key is None else jax.random.split(key, 3)
    features = {
        "photometry": informer(
            params["towers_photometry"], batch["photometry"], index, keys[0], rate
        ),
        "spectrum": spectrum(params["towers_spectrum"], batch["spectrum"], keys[1], rate),
        "metadata": metadata(params["towers_metadata"], batch["metadata"], keys[2], rate),
    }
    vectors = {name: dense(params[f"projections_{name}"], x) for name, x in features.items()}
    return {n: v / jnp.linalg.norm(v, axis=-1, keepdims=True) for n, v in vectors.items()}


def contrastive_loss(params: Params, vectors: Mapping[str, Array]) -> Array:
    """Return the sum over pairs of both cross-entropies."""
    loss, own = 0.0, jnp.arange(len(vectors["photometry"]))
    for a, b in (("metadata", "photometry"), ("metadata", "spectrum"), ("photometry", "spectrum")):
        scale = jnp.clip(jnp.exp(params[f"logit_scale_{a}_{b}"]), 1.0, 100.0)
        logits = scale * vectors[a] @ vectors[b].T
        for side in (logits, logits.T):
            loss = loss - jax.nn.log_softmax(side)[own, own].mean()
    return loss


# Transients


def gru(p: Params, x: Array, mask: Array) -> Array:
    """Run a GRU over [B, T, C], one slot after the other."""

    def cell(state: Array, slot: tuple[Array, Array]) -> tuple[Array, Array]:
        at, seen = slot
        xz, xr, xn = jnp.split(at @ p["kernel"] + p["bias"][0], 3, axis=-1)
        hz, hr, hn = jnp.split(state @ p["recurrent_kernel"] + p["bias"][1], 3, axis=-1)
        z = jax.nn.sigmoid(xz + hz)
        new = z * state + (1 - z) * jnp.tanh(xn + jax.nn.sigmoid(xr + hr) * hn)
        state = jnp.where(seen[:, None], new, state)
        return state, state

    start = jnp.zeros((len(x), p["recurrent_kernel"].shape[0]))
    return jax.lax.scan(cell, start, (x.swapaxes(0, 1), mask.T))[1].swapaxes(0, 1)


def transient(variables: Mapping, batch: Mapping, train: bool = False) -> dict[str, Array]:
    """Return what `models.transient.Official` returns."""
    p, light, told = variables["params"], batch["photometry"], batch["metadata"]
    x = gru(p["gru_2"], gru(p["gru_1"], light["values"], light["mask"]), light["mask"])
    x = jnp.tanh(dense(p["dense_1"], x))
    beside = dense(p["metadata"], jnp.where(told["mask"], told["values"], 0.0))
    beside = jnp.broadcast_to(beside[:, None], (*x.shape[:2], beside.shape[-1]))
    x = jax.nn.relu(dense(p["dense_3"], jnp.concatenate([x, beside], axis=-1)))
    x = jax.nn.relu(dense(p["latent"], x))
    logits = dense(p["output"], x)
    return {"logits": logits[:, -1], "embedding": x[:, -1], "step_logits": logits}


# Steps and samples


def plain_step(loss: Callable[[Any, Any, Array], Array], rate: float = 1e-3) -> Callable:
    """Return (params, opt_state, batch, key) -> (params, opt_state, loss), jitted, with Adam."""
    optimizer = optax.adam(rate)

    @jax.jit
    def step(params: Any, opt_state: Any, batch: Any, key: Array) -> tuple:
        value, gradient = jax.value_and_grad(loss)(params, batch, key)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, value

    return step


def sample_by_sample(sample: Callable[[int], dict], size: int, batch_size: int) -> Any:
    """Return a Grain dataset of batches of single samples, shuffled, as its tutorial has it."""
    return grain.MapDataset.range(size).shuffle(seed=0).repeat().map(sample).batch(batch_size)


def window_sample(curves: Any, window: int) -> Callable[[int], dict]:
    """Return the map from a number to one random, centred, padded window of a light curve."""

    def sample(k: int) -> dict:
        rng = np.random.default_rng(k)
        first, last = curves.offsets[k], curves.offsets[k + 1]
        start = first + rng.integers(max(last - first - window, 0) + 1)
        part = slice(start, min(start + window, last))
        count = part.stop - part.start
        time, values = np.zeros(window, np.float32), np.zeros((window, 2), np.float32)
        time[:count] = curves.time[part] - curves.time[part].mean()
        values[:count, 0], values[:count, 1] = curves.mag[part], curves.magerr[part]
        return {"times": time, "values": values, "mask": np.arange(window) < count}

    return sample
