"""Classifier heads: public paths, that padding does not matter, and dropout by row."""

import json
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astro_jax.errors import UserError
from astro_jax.models.astromer import Astromer2, Smoother
from astro_jax.models.classifier import (
    Classifier,
    Lstm,
    LstmAtt,
    MlpAtt,
    Regressor,
    Skip,
    min_max,
    standardise,
)
from astro_jax.optim import path_name
from astro_jax.spec import build, spec

N, T, D = 3, 40, 16
LAYERS = (12, 10, 8)
ENCODER = Smoother(width=D, heads=2, ffn=16, blocks=1)
MODELS = {
    "lstm": Classifier(None, Lstm(N, width=6)),
    "lstm_att": Classifier(ENCODER, LstmAtt(N, width=6)),
    "lstm_att_slots": Classifier(ENCODER, LstmAtt(N, width=6, normalise="slots")),
    "skip": Classifier(ENCODER, Skip(N, layers=LAYERS)),
    "mlp_att": Classifier(ENCODER, MlpAtt(N, layers=LAYERS)),
    "mlp_att_random": Classifier(ENCODER, MlpAtt(N, "random", LAYERS)),
}
SANE = [name for name in MODELS if not name.endswith("slots")]


def make_photometry(length=T, sizes=(T, 30, 9, 1), seed=0):
    """Return centred windows with `sizes` observations."""
    rng = np.random.default_rng(seed)
    mask = np.arange(length) < np.array(sizes)[:, None]
    times = np.sort(rng.uniform(-60, 60, mask.shape), axis=1) * mask
    mag = (np.sin(times / 9) + 0.1 * rng.standard_normal(mask.shape)) * mask
    values = np.stack([mag, rng.uniform(0.01, 0.1, mask.shape) * mask], axis=-1)
    arrays = {"times": times.astype(np.float32), "values": values.astype(np.float32), "mask": mask}
    return jax.tree.map(jnp.asarray, arrays)


@cache
def draw(model):
    """Return random parameters: with the initial ones logits hardly depend on anything."""
    batch = {"photometry": make_photometry(8, (8,))}
    shapes = jax.eval_shape(model.init, jax.random.key(0), batch)["params"]
    rng = np.random.default_rng(0)

    def of(path, leaf):
        values = rng.standard_normal(leaf.shape) * (0.3 if leaf.ndim < 2 else leaf.shape[0] ** -0.5)
        return jnp.asarray(values + (path[-1].key == "scale"), jnp.float32)

    return jax.tree_util.tree_map_with_path(of, shapes)


@jax.jit
def encode(params, photometry):
    """Return what heads may use of the encoder's record; the reconstruction is then left out."""
    record = ENCODER.apply({"params": params}, {"photometry": photometry})
    return {name: record[name] for name in ("embedding", "layers")}


@cache
def head(name):
    apply = jax.jit(MODELS[name].head.apply)
    return lambda *inputs: apply({"params": draw(MODELS[name])["head"]}, *inputs)


def run(name, photometry, keys=None):
    """Run encoder and head one after the other, so that all heads share a compiled encoder."""
    model = MODELS[name]
    encoded = encode(draw(model)["encoder"], photometry) if model.encoder else {}
    return head(name)(photometry, encoded, keys)


def pad(photometry, more):
    return {
        k: jnp.pad(x, [(0, 0), (0, more)] + [(0, 0)] * (x.ndim - 2)) for k, x in photometry.items()
    }


def paths(model):
    batch = {"photometry": make_photometry(8, (8,))}
    params = jax.eval_shape(model.init, jax.random.key(0), batch)["params"]
    return {path_name(p): x.shape for p, x in jax.tree_util.tree_leaves_with_path(params)}


MLP = [
    f"mlp/{layer}"
    for layer in [
        *(f"dense_{i}/{kind}" for i in (1, 2, 3) for kind in ("bias", "kernel")),
        "norm/bias",
        "norm/scale",
        "logits/bias",
        "logits/kernel",
    ]
]
RNN = [
    *(f"rnn/lstm_{i}/{kind}" for i in (1, 2) for kind in ("bias", "kernel", "recurrent_kernel")),
    "rnn/norm/bias",
    "rnn/norm/scale",
    "logits/bias",
    "logits/kernel",
]


@pytest.mark.parametrize(
    ("name", "head"),
    [("lstm", RNN), ("lstm_att", RNN), ("mlp_att", MLP), ("skip", ["gamma", *MLP])],
)
def test_parameter_paths_are_public(name, head):
    model = MODELS[name]
    ours = paths(model)
    inside = {p for p in ours if p.startswith("encoder/")}
    assert {p for p in ours if p.startswith("head/")} == {f"head/{p}" for p in head}
    assert set(ours) == inside | {f"head/{p}" for p in head}
    encoder = paths(model.encoder) if model.encoder else {}
    assert {p.removeprefix("encoder/"): ours[p] for p in inside} == encoder


def test_sizes_of_the_paper():
    shapes = paths(Classifier(ENCODER, MlpAtt(6)))
    assert shapes["head/mlp/dense_1/kernel"] == (D, 1024)
    assert shapes["head/mlp/logits/kernel"] == (256, 6)
    shapes = paths(Classifier(None, Lstm(6)))
    assert shapes["head/rnn/lstm_1/kernel"] == (2, 1024)
    assert shapes["head/rnn/lstm_2/recurrent_kernel"] == (256, 1024)
    shapes = paths(Classifier(Astromer2(width=D, heads=2, ffn=16), Skip(6)))
    assert shapes["head/gamma"] == (7,)


@pytest.mark.parametrize("name", MODELS)
def test_records(name):
    output = run(name, make_photometry())
    width = 6 if "lstm" in name else D
    assert {k: x.shape for k, x in output.items()} == {"logits": (4, N), "embedding": (4, width)}
    assert all(np.isfinite(x).all() for x in output.values())
    assert np.ptp(np.asarray(output["logits"]), axis=0).min() > 1e-3  # rows differ


# Padding


@pytest.mark.parametrize("junk", [7.0, np.nan])
@pytest.mark.parametrize("name", MODELS)
def test_what_padding_holds_changes_no_bit(name, junk):
    clean = make_photometry()
    mask = clean["mask"]
    dirty = {
        "times": jnp.where(mask, clean["times"], junk),
        "values": jnp.where(mask[..., None], clean["values"], junk),
        "mask": mask,
    }
    before, after = run(name, clean), run(name, dirty)
    for key in before:
        np.testing.assert_array_equal(before[key], after[key])


def change_by_padding(name):
    """Return the largest change, in units of the largest logit, when 25 slots are added."""
    photometry = make_photometry()
    before, after = run(name, photometry)["logits"], run(name, pad(photometry, 25))["logits"]
    return float(jnp.abs(after - before).max() / jnp.maximum(jnp.abs(before).max(), 1.0))


@pytest.mark.parametrize("name", SANE)
def test_more_padding_changes_nothing(name):
    assert change_by_padding(name) <= 1e-6


def test_the_reference_of_lstm_att_sees_padding():
    assert change_by_padding("lstm_att_slots") > 1e-3


@pytest.mark.parametrize("name", ["lstm_att", "lstm_att_slots", "skip"])
def test_windows_without_an_observation_stay_finite(name):
    photometry = make_photometry(T, (0, 1, T, 9))
    params = draw(MODELS[name])
    encoded = encode(params["encoder"], photometry)

    def total(params, encoded):
        output = MODELS[name].head.apply({"params": params}, photometry, encoded, None)
        return sum((x**2).sum() for x in output.values())

    run = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
    value, gradient = run(params["head"], encoded)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))


# What the heads do


def test_skip_is_a_mean_of_weighted_means_over_the_depth():
    photometry = make_photometry()
    params = draw(MODELS["skip"])
    layers = encode(params["encoder"], photometry)["layers"]
    mask = np.asarray(photometry["mask"])[..., None]
    means = np.stack([(np.asarray(x) * mask).sum(1) / mask.sum(1) for x in layers])
    weights = np.exp(params["head"]["gamma"])
    expected = np.tensordot(weights / weights.sum(), means, 1) / len(means)
    np.testing.assert_allclose(run("skip", photometry)["embedding"], expected, atol=1e-5)


def test_min_max_and_standardise():
    x = jnp.array([[[1.0, 4.0], [3.0, 4.0], [2.0, 4.0], [50.0, 50.0]]])
    where = jnp.array([[True, True, True, False]])
    scaled = np.asarray(min_max(x, where))[0, :3]
    np.testing.assert_allclose(scaled, [[0.0, 0.0], [1.0, 0.0], [0.5, 0.0]])
    unit = np.asarray(standardise(x, where, floor=0.0))[0, :3]
    half = np.sqrt(1.5)
    np.testing.assert_allclose(unit, [[-half, 0.0], [half, 0.0], [0.0, 0.0]], atol=1e-6)
    np.testing.assert_allclose(standardise(x, where)[0, :3], unit, atol=1e-5)


def test_the_floor_keeps_rounding_small():
    """A feature that is constant but for its last bit is not blown up to 1."""
    x = jnp.asarray(
        np.random.default_rng(0).choice([1.0, np.nextafter(np.float32(1), 2)], (1, 50, 1))
    )
    where = jnp.ones((1, 50), bool)
    assert np.abs(standardise(x, where)).max() < 1e-3
    assert np.abs(standardise(x, where, floor=0.0)).max() > 0.5


@pytest.mark.parametrize("name", ["lstm", "mlp_att_random"])
def test_what_is_drawn_belongs_to_the_row(name):
    photometry, keys = make_photometry(), jax.random.split(jax.random.key(0), 4)
    order = np.array([2, 0, 3, 1])
    shuffled = jax.tree.map(lambda x: x[order], photometry)
    logits = np.asarray(run(name, photometry, keys)["logits"])
    moved = run(name, shuffled, keys[order])["logits"]
    np.testing.assert_allclose(logits[order], moved, rtol=0, atol=1e-6)
    other = run(name, photometry, jax.random.split(jax.random.key(1), 4))["logits"]
    assert np.abs(logits - other)[:3].max() > 1e-3
    assert np.abs(logits - run(name, photometry)["logits"])[:3].max() > 1e-3


def test_keys_are_used_in_training_only():
    model, photometry = MODELS["lstm"], make_photometry()
    variables, keys = {"params": draw(model)}, jax.random.split(jax.random.key(0), 4)
    batch = {"photometry": photometry, "key": keys}
    apply = jax.jit(model.apply, static_argnames="train")
    for train, used in ((False, None), (True, keys)):
        expected = run("lstm", photometry, used)["logits"]
        output = apply(variables, batch, train=train)["logits"]
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-6)
    with pytest.raises(KeyError, match="key"):
        jax.eval_shape(lambda v: model.apply(v, {"photometry": photometry}, True), variables)


# Building


def test_a_config_builds_a_classifier():
    encoder = spec(Smoother, width=D, heads=2, ffn=16, blocks=1)
    described = spec(Classifier, encoder=encoder, head=spec(MlpAtt, classes=N, layers=LAYERS))
    assert build(described) == MODELS["mlp_att"]
    saved = build(json.loads(described.to_json()))
    assert hash(saved) == hash(MODELS["mlp_att"])  # a key of a cache
    baseline = spec(Classifier, encoder=None, head=spec(Lstm, classes=N, width=6))
    assert build(baseline) == MODELS["lstm"]


def test_a_regressor_gives_one_number():
    photometry = make_photometry()
    model = Regressor(ENCODER, MlpAtt(1, layers=LAYERS))
    params = draw(model)
    output = jax.jit(model.apply)({"params": params}, {"photometry": photometry})
    logits = model.head.apply(
        {"params": params["head"]}, photometry, encode(params["encoder"], photometry), None
    )["logits"]
    assert {k: x.shape for k, x in output.items()} == {"prediction": (4,), "embedding": (4, D)}
    np.testing.assert_allclose(output["prediction"], logits[:, 0], atol=1e-5)


def test_mistakes_are_named():
    batch = {"photometry": make_photometry()}
    wrong = [
        (Regressor(ENCODER, MlpAtt(2)), "classes=2; a Regressor has 1"),
        (Classifier(ENCODER, MlpAtt(2, "middle")), "no pooling 'middle'"),
        (Classifier(ENCODER, LstmAtt(2, normalise="slot")), "did you mean 'slots'"),
    ]
    for model, message in wrong:
        with pytest.raises(UserError, match=message):
            jax.eval_shape(model.init, jax.random.key(0), batch)
