"""The official classifier heads: of the paper on macho_a0, of Astromer 2 on generated weights."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from generated_weights import generated_weights

from astro_jax.interop.astromer import HEADS, from_official, load_official
from astro_jax.models.astromer import Astromer2, Official
from astro_jax.models.classifier import Classifier, Lstm, LstmAtt, MlpAtt, Skip
from astro_jax.nn.recurrent import StackedLSTM
from astro_jax.tree import nest

pytestmark = pytest.mark.parity

ATOL = {"v0": 1e-4, "v2": 5e-5}  # README of the fixtures
KINDS = {"kernel": "kernel", "bias": "bias", "gamma": "scale", "beta": "bias"}


@pytest.fixture(scope="module")
def fixture(shared):
    arrays = {}
    for name in ("v0_public", "v0_heads_public", "v2_arch_public"):
        with np.load(shared / "parity" / f"astromer_{name}.npz") as archive:
            arrays |= dict(archive)
    return arrays


@pytest.fixture(scope="module")
def photometry(fixture):
    """Rows of the fixture with nothing hidden, centred as the official loader did it."""
    mag = fixture["fixed_output"]
    mask = np.arange(mag.shape[1]) < fixture["length"][:, None]
    assert 0 < mask.sum() < mask.size
    return {
        "times": jnp.asarray(fixture["fixed_times"][..., 0]),
        "values": jnp.asarray(np.concatenate([mag, np.zeros_like(mag)], axis=-1)),
        "mask": jnp.asarray(mask),
    }


@pytest.fixture(scope="module")
def v0(shared):
    family, config, params = load_official(shared / "weights" / "astromer_macho_a0.npz")
    assert family == "v0"
    fields = ("width", "heads", "ffn", "blocks", "base")
    return Official(**{name: config[name] for name in fields}), params


@pytest.fixture(scope="module")
def v2(fixture):
    _, params = from_official(generated_weights(fixture["var_names"], fixture["seed"]))
    width, ffn = params["block_0"]["dense_1"]["kernel"].shape
    blocks = sum(name.startswith("block_") for name in params)
    return Astromer2(width=width, heads=HEADS, ffn=ffn, blocks=blocks), params


def mlp_paths(names):
    """Map the names of an MLP head, in order, to our paths: three dense layers, norm, logits."""
    split = {name: name.removesuffix(":0").split("/") for name in names}
    layers = dict.fromkeys(layer for layer, _ in split.values() if layer != "gamma_weight")
    ours = ["dense_1", "dense_2", "dense_3", "norm", "logits"]
    places = dict(zip(layers, ours, strict=True))
    return {
        name: f"mlp/{places[layer]}/{KINDS[kind]}" if layer in places else "gamma"
        for name, (layer, kind) in split.items()
    }


def rnn_paths(names):
    """Map the names of an LSTM head to our paths: the first cell has the lower number."""
    layers = {name.rpartition("/")[0] for name in names}
    cells = sorted((n for n in layers if "lstm_cell" in n.split("/")[-1]), key=_number)
    places = {cell: f"rnn/lstm_{i}" for i, cell in enumerate(cells, start=1)}
    ours = {}
    for name in names:
        layer, _, kind = name.removesuffix(":0").rpartition("/")
        place = places.get(layer) or {"bn_step": "rnn/norm", "FCN": "logits"}[layer.split("/")[-1]]
        ours[name] = f"{place}/{KINDS.get(kind, kind)}"
    return ours


def _number(layer):
    return int(re.search(r"lstm_cell_?(\d*)$", layer)[1] or 0)


def head_params(fixture, head, seed):
    weights = generated_weights(fixture[f"{head}/var_names"], seed)
    paths = (rnn_paths if "lstm" in head else mlp_paths)(weights)
    assert len(set(paths.values())) == len(weights)
    return nest({paths[name]: value for name, value in weights.items()})


def classify(encoder, head, params, photometry):
    """Run a classifier after checking that its parameters are exactly those of the reference."""
    model = Classifier(encoder, head)
    batch = {"photometry": photometry}
    drawn = jax.eval_shape(model.init, jax.random.key(0), batch)["params"]
    assert jax.tree.map(jnp.shape, drawn) == jax.tree.map(jnp.shape, params)
    return jax.jit(model.apply)({"params": params}, batch)


def assert_close(ours, expected, atol):
    assert np.abs(expected).max() > 100 * atol
    np.testing.assert_allclose(ours, expected, rtol=0, atol=atol)


def test_mlp_att(fixture, v0, photometry):
    expected = fixture["mlp_att/logits"]
    params = {"encoder": v0[1], "head": head_params(fixture, "mlp_att", fixture["head_seed"])}
    head = MlpAtt(classes=expected.shape[-1])
    output = classify(v0[0], head, params, photometry)
    assert_close(output["embedding"], fixture["pooled"], ATOL["v0"])
    assert_close(output["logits"], expected, ATOL["v0"])


def test_lstm_baseline(fixture, photometry):
    expected = fixture["lstm/logits_without_dropout"]
    params = {"head": head_params(fixture, "lstm", fixture["head_seed"])}
    head = Lstm(classes=expected.shape[-1])
    output = classify(None, head, params, photometry)
    assert_close(output["embedding"], fixture["lstm/rnn_output"], ATOL["v0"])
    assert_close(output["logits"], expected, ATOL["v0"])


# LSTM+ATT divides each feature by its deviation over the window, which with the released weights
# is 3e-7 to 4, the median 0.002: the last bit of the embedding and the order in which the mean is
# summed reach the output.  1 ulp of noise on the embedding moves the output by 1e-4 to 4e-4 where
# a window has 33 points or more, by 3e-3 where it has 5; a mean summed in another order by up to
# 0.002 from 64 points on.  So the head is tested alone first, summed as TensorFlow sums.
LSTM_ATT_ATOL = {"alone": 1e-3, "whole": 5e-3}


def tensorflow_mean(x):
    """Return the float32 mean over axis 1 in four interleaved partial sums, as Eigen does it."""
    parts = [np.add.accumulate(x[:, k::4], axis=1)[:, -1] for k in range(4)]
    return (((parts[0] + parts[1]) + (parts[2] + parts[3])) / np.float32(x.shape[1]))[:, None]


def test_lstm_att_given_the_official_embedding(fixture, photometry):
    """The recurrent network and the logits, at the rows whose official embedding is stored."""
    x = fixture["fixed_embedding"]
    shifted = x - tensorflow_mean(x)
    x = shifted / np.sqrt(tensorflow_mean(shifted**2))
    params = head_params(fixture, "lstm_att", fixture["head_seed"])
    rnn = jax.jit(StackedLSTM(x.shape[-1]).apply)
    last = np.asarray(rnn({"params": params["rnn"]}, x, photometry["mask"])[:, -1])
    logits = last @ params["logits"]["kernel"] + params["logits"]["bias"]
    stored = (fixture["fixed_mask_in"][..., 0] == 0) == photometry["mask"]
    rows = np.asarray(stored.all(1)) & (fixture["length"] >= 33)
    assert rows.sum() == 7
    atol = LSTM_ATT_ATOL["alone"]
    assert_close(last[rows], fixture["lstm_att/rnn_output"][rows], atol)
    expected = fixture["lstm_att/logits_without_dropout"][rows]
    assert_close(logits[rows], expected, atol)


def test_lstm_att(fixture, v0, photometry):
    expected = fixture["lstm_att/logits_without_dropout"]
    params = {"encoder": v0[1], "head": head_params(fixture, "lstm_att", fixture["head_seed"])}
    head = LstmAtt(classes=expected.shape[-1], normalise="slots")
    output = classify(v0[0], head, params, photometry)
    rows = fixture["length"] >= 64
    atol = LSTM_ATT_ATOL["whole"]
    assert_close(output["embedding"][rows], fixture["lstm_att/rnn_output"][rows], atol)
    assert_close(output["logits"][rows], expected[rows], atol)


@pytest.mark.parametrize(("name", "head"), [("skip", Skip), ("max", MlpAtt)])
def test_heads_of_astromer_2(fixture, v2, photometry, name, head):
    expected = fixture[f"{name}/logits"]
    params = {
        "encoder": v2[1],
        "head": head_params(fixture, name, int(fixture["seed"]) + 1),
    }
    options = {"vector": "max"} if name == "max" else {}
    model = head(classes=expected.shape[-1], **options)
    output = classify(v2[0], model, params, photometry)
    assert_close(output["logits"], expected, ATOL["v2"])
