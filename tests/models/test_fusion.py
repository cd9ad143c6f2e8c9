"""Our own head: features beside the pooled embedding, and an average over small networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astro_jax.errors import UserError
from astro_jax.models.classifier import Fusion
from astro_jax.tree import flatten

B, T, D, F, N = 5, 12, 8, 6, 3
HEAD = Fusion(classes=N, width=4, hidden=16, members=7)
MASK = np.arange(T) < np.array([12, 9, 5, 1, 3])[:, None]


def make_record(seed=0, pad=0):
    rng = np.random.default_rng(seed)
    embedding = rng.standard_normal((B, T, D)).astype(np.float32)
    embedding = np.pad(embedding, ((0, 0), (0, pad), (0, 0)), constant_values=99.0)
    return {"embedding": embedding, "features": rng.standard_normal((B, F)).astype(np.float32)}


@pytest.fixture(scope="module")
def params():
    return HEAD.init(jax.random.key(0), {"mask": MASK}, make_record(), None)["params"]


@jax.jit
def run(params, mask, record, keys=None):
    return HEAD.apply({"params": params}, {"mask": mask}, record, keys)


def keys_of(rows):
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(3), jnp.asarray(rows))


def test_the_paths_are_public(params):
    assert {name: value.shape for name, value in flatten(params).items()} == {
        "norm/scale": (2 * D,),
        "norm/bias": (2 * D,),
        "compress/kernel": (2 * D, 4),
        "compress/bias": (4,),
        "hidden/kernel": (F + 4, 7, 16),
        "hidden/bias": (7, 16),
        "logits/kernel": (16, 7, N),
        "logits/bias": (7, N),
    }


def test_members_start_apart(params):
    for name in ("hidden", "logits"):
        kernel = params[name]["kernel"]
        spreads = kernel.std((0, 2))
        assert spreads.min() > 0.7 * spreads.max() > 0.05
        assert all(np.abs(kernel[:, 0] - kernel[:, m]).max() > 0.1 for m in range(1, 7))


def test_each_member_starts_as_a_layer_of_its_own():
    head = Fusion(classes=20, width=4, hidden=64, members=7)
    params = jax.jit(head.init)(jax.random.key(1), {"mask": MASK}, make_record(), None)["params"]
    for name, fans in {"hidden": F + 4 + 64, "logits": 64 + 20}.items():
        kernel = np.asarray(params[name]["kernel"])
        assert np.sqrt(2 / fans) == pytest.approx(kernel.std(), rel=0.06)  # Glorot and Bengio 2010
        assert np.abs(kernel).max() < np.sqrt(6 / fans) + 1e-6


def test_the_logits_are_the_mean_over_members(params):
    record, rng = make_record(), np.random.default_rng(1)
    drawn = jax.tree.map(
        lambda x: x + 0.3 * rng.standard_normal(x.shape).astype(np.float32), params
    )
    told = run(drawn, MASK, record)
    pooled = np.stack(
        [np.r_[e[m].mean(0), e[m].max(0)] for e, m in zip(record["embedding"], MASK, strict=True)]
    )
    np.testing.assert_allclose(told["embedding"], pooled, atol=1e-5)
    centred = pooled - pooled.mean(1, keepdims=True)
    z = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-3)
    p = jax.tree.map(np.asarray, drawn)
    small = (z * p["norm"]["scale"] + p["norm"]["bias"]) @ p["compress"]["kernel"]
    small = jax.nn.gelu(small + p["compress"]["bias"])
    x = np.concatenate([record["features"], small], axis=1)
    each = []
    for m in range(7):
        hidden = jax.nn.gelu(x @ p["hidden"]["kernel"][:, m] + p["hidden"]["bias"][m])
        each.append(hidden @ p["logits"]["kernel"][:, m] + p["logits"]["bias"][m])
    np.testing.assert_allclose(told["logits"], np.mean(each, axis=0), atol=1e-5)
    assert np.std(each, axis=0).max() > 0.1


def test_padding_does_not_matter(params):
    wide = np.pad(MASK, ((0, 0), (0, 4)))
    ours, theirs = run(params, MASK, make_record()), run(params, wide, make_record(pad=4))
    np.testing.assert_allclose(ours["logits"], theirs["logits"], atol=1e-6)


def test_features_and_embedding_both_count(params):
    record = make_record()
    plain = run(params, MASK, record)["logits"]
    for name in ("features", "embedding"):
        other = run(params, MASK, {**record, name: record[name][::-1]})
        assert np.abs(other["logits"] - plain).max() > 1e-3


def test_dropout_belongs_to_the_row_and_to_training(params):
    record, rows = make_record(), np.arange(B)
    plain = run(params, MASK, record)["logits"]
    np.testing.assert_array_equal(run(params, MASK, record)["logits"], plain)
    drawn = run(params, MASK, record, keys_of(rows))["logits"]
    assert (np.abs(drawn - plain).max(1) > 1e-3).all()
    turned = jax.tree.map(lambda x: x[::-1], record)
    back = run(params, MASK[::-1], turned, keys_of(rows[::-1]))["logits"][::-1]
    np.testing.assert_allclose(back, drawn, atol=1e-6)


def test_without_features_it_says_so():
    with pytest.raises(UserError, match="needs `inputs` with features"):
        HEAD.init(jax.random.key(0), {"mask": MASK}, {"embedding": np.zeros((B, T, D))}, None)
