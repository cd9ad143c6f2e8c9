"""The ASTROMER family: public parameter paths, and that nothing hidden or absent can be seen."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_gp import dense

from astro_jax.data.masking import draw_probes
from astro_jax.models.astromer import Astromer2, Official, Paper, Smoother
from astro_jax.nn.attention import kernel_bias, key_bias
from astro_jax.nn.processes import KERNELS
from astro_jax.objectives.reconstruction import probed_input
from astro_jax.optim import path_name

T = 200
SMALL = {
    "official": Official(width=16, heads=2, ffn=16),
    "paper": Paper(width=16, heads=2, ffn=16),
    "astromer2": Astromer2(width=16, heads=2, ffn=16, blocks=2),
    "smoother": Smoother(width=16, heads=2, ffn=16),
    "periods": Smoother(width=16, heads=2, ffn=16, candidates=2),
}
LEAK_FREE = ["paper", "astromer2", "smoother", "periods"]


def make_photometry(length=T, sizes=(T, 150, 30, 3), seed=0):
    """Return uncentred windows with `sizes` observations, as a loader makes them."""
    rng = np.random.default_rng(seed)
    mask = np.arange(length) < np.array(sizes)[:, None]
    times = np.sort(rng.uniform(-300, 300, mask.shape), axis=1) * mask
    mag = 15 + np.sin(times / 20) + 0.1 * rng.standard_normal(mask.shape)
    values = np.stack([mag, rng.uniform(0.01, 0.1, mask.shape)], axis=-1) * mask[..., None]
    arrays = {"times": times.astype(np.float32), "values": values.astype(np.float32), "mask": mask}
    return jax.tree.map(jnp.asarray, arrays)


@cache
def init(name):
    """Return random parameters: with the initial ones a prediction may not depend on anything."""

    @jax.jit
    def draw(key):
        params = SMALL[name].init(key, {"photometry": make_photometry(8, (8,))})["params"]
        leaves, tree = jax.tree.flatten(params)
        keys = jax.random.split(key, len(leaves))
        pairs = zip(leaves, keys, strict=True)
        return tree.unflatten([p + 0.2 * jax.random.normal(k, p.shape) for p, k in pairs])

    return draw(jax.random.key(0))


@cache
def compiled(name):
    return partial(jax.jit(partial(apply, name)), init(name))


def apply(name, params, photometry):
    """Return what a model says of each point, all layers in one array [B, T, blocks + 1, D]."""
    output = SMALL[name].apply({"params": params}, {"photometry": photometry})
    for of_the_window in ("evidence", "frequency"):
        output.pop(of_the_window, None)
    return {**output, "layers": jnp.stack(output["layers"], axis=2)}


@partial(jax.jit, static_argnames="leaky")
def probes_of(photometry, leaky=False):
    keys = jax.random.split(jax.random.key(0), len(photometry["mask"]))
    return jax.vmap(partial(draw_probes, leaky=leaky))(keys, photometry["mask"])


def run(name, photometry, probes=None):
    """Return the outputs of a model, on a probed window where there are probes."""
    if probes is not None:
        photometry, _ = jax.jit(probed_input)(photometry, probes)
    return compiled(name)(photometry)


def jacobian(name, leaky):
    """Return d prediction / d raw magnitude, [T, T], in a window of T points, and its probes."""
    photometry = make_photometry(sizes=(T,))
    probes, params = probes_of(photometry, leaky), init(name)

    def predict(mag):
        values = photometry["values"].at[0, :, 0].set(mag)
        seen, _ = probed_input({**photometry, "values": values}, probes, leaky)
        return apply(name, params, seen)["reconstruction"][0]

    matrix = jax.jit(jax.jacrev(predict))(photometry["values"][0, :, 0])
    return np.asarray(matrix), jax.tree.map(lambda x: np.asarray(x[0]), probes)


# Public names and sizes


def paths(model):
    params = jax.eval_shape(
        model.init, jax.random.key(0), {"photometry": make_photometry(8, (8,))}
    )["params"]
    return {path_name(p): x.shape for p, x in jax.tree_util.tree_leaves_with_path(params)}


EMBED = ["embed/bias", "embed/kernel"]
DECODER = [
    "decoder/dense/bias",
    "decoder/dense/kernel",
    "decoder/norm/bias",
    "decoder/norm/scale",
]
BLOCK = [
    "attention/out/bias",
    "attention/out/kernel",
    "attention/qkv/bias",
    "attention/qkv/kernel",
    "dense_1/bias",
    "dense_1/kernel",
    "dense_2/bias",
    "dense_2/kernel",
    "norm_1/bias",
    "norm_1/scale",
    "norm_2/bias",
    "norm_2/scale",
]
READOUT = [
    "readout/log_sharpness",
    "readout/norm/bias",
    "readout/norm/scale",
    "readout/weights/bias",
    "readout/weights/kernel",
]
RESIDUAL = ["residual_1/bias", "residual_1/kernel", "residual_2/bias", "residual_2/kernel"]


@pytest.mark.parametrize(
    ("model", "blocks", "block", "top"),
    [
        (Official(), 2, BLOCK, []),
        (Paper(), 2, BLOCK, []),
        (Astromer2(), 6, BLOCK + RESIDUAL, ["mask_token"]),
        (Smoother(), Smoother().blocks, BLOCK, ["log_scale", *READOUT]),
        (Smoother(candidates=4), 2, BLOCK, ["log_scale", "log_phase_width", *READOUT]),
    ],
)
def test_parameter_paths_are_public(model, blocks, block, top):
    inside = [f"block_{i}/{name}" for i in range(blocks) for name in block]
    assert set(paths(model)) == {*EMBED, *DECODER, *inside, *top}


def test_parameter_shapes_of_the_official_model():
    shapes = paths(Official())
    assert shapes["embed/kernel"] == (1, 256)
    assert shapes["block_1/attention/qkv/kernel"] == (256, 3, 4, 64)
    assert shapes["block_1/attention/out/kernel"] == (4, 64, 256)
    assert shapes["block_1/dense_1/kernel"] == (256, 128)
    assert shapes["decoder/dense/kernel"] == (256, 1)


@pytest.mark.parametrize(
    ("model", "encoder", "decoder", "tokens"),
    [(Official(), 660_736, 769, 0), (Paper(), 660_736, 769, 0), (Astromer2(), 3_952_640, 769, 1)],
)
def test_parameter_counts(model, encoder, decoder, tokens):
    sizes = {name: int(np.prod(shape)) for name, shape in paths(model).items()}
    assert sum(n for name, n in sizes.items() if name.startswith("decoder/")) == decoder
    assert sizes.get("mask_token", 0) == tokens
    assert sum(sizes.values()) == encoder + decoder + tokens


# No leak


@pytest.mark.parametrize("name", LEAK_FREE)
def test_hidden_magnitudes_change_no_prediction(name):
    matrix, probes = jacobian(name, leaky=False)
    assert probes.hidden.sum() == 64
    assert (np.diag(matrix)[probes.hidden] == 0).all()
    assert (matrix[:, probes.hidden] == 0).all()  # at no other point either
    assert (matrix[probes.hidden][:, ~probes.probe] != 0).all()  # but every point left as it is


def test_official_predictions_see_their_own_hidden_magnitude():
    matrix, probes = jacobian("official", leaky=True)
    assert probes.hidden.sum() == 64
    assert (np.diag(matrix)[probes.hidden] != 0).all()


@pytest.mark.parametrize("name", LEAK_FREE)
def test_what_a_hidden_point_holds_changes_no_bit(name):
    photometry = make_photometry()
    probes = probes_of(photometry)
    values = jnp.where(probes.hidden[..., None], jnp.nan, photometry["values"])
    poisoned = {**photometry, "values": values}
    before, after = run(name, photometry, probes), run(name, poisoned, probes)
    for key in before:
        np.testing.assert_array_equal(before[key], after[key])
    assert np.isfinite(after["reconstruction"]).all()


@pytest.mark.parametrize("name", LEAK_FREE)
def test_hidden_points_are_asked_but_never_looked_at(name):
    """Moving a hidden point towards the next one changes its own row and no visible one.

    No bit of them, but where a recursion takes two other steps from one visible point to the next:
    in what is read out, and, with periods, in their significance, which is an input.
    """
    photometry = make_photometry()
    probes = probes_of(photometry)
    visible = np.asarray(photometry["mask"] & ~probes.hidden)
    times = photometry["times"]
    gap = jnp.maximum(jnp.diff(times, axis=1, append=times[:, -1:]), 0.0)
    moved = {**photometry, "times": times + (0.5 * gap + 1e-2 * (gap == 0)) * probes.hidden}
    before, after = run(name, photometry, probes), run(name, moved, probes)
    for key in before:
        a, b = np.asarray(before[key]), np.asarray(after[key])
        recursion = name == "periods" or (name == "smoother" and key == "reconstruction")
        np.testing.assert_allclose(a[visible], b[visible], rtol=0, atol=1e-4 if recursion else 0)
        assert (a != b)[np.asarray(probes.hidden)].any(axis=-1).all()


# Padding


@pytest.mark.parametrize("junk", [7.0, 1e30, np.inf, np.nan])
@pytest.mark.parametrize("name", LEAK_FREE)
def test_what_padding_holds_changes_no_bit(name, junk):
    photometry = make_photometry()
    mask = np.asarray(photometry["mask"])
    probes = probes_of(photometry)
    dirty = {
        "times": jnp.where(mask, photometry["times"], junk),
        "values": jnp.where(mask[..., None], photometry["values"], junk),
        "mask": photometry["mask"],
    }
    assert not np.array_equal(dirty["times"], photometry["times"])
    before, after = run(name, photometry, probes), run(name, dirty, probes)
    for key in before:
        np.testing.assert_array_equal(np.asarray(before[key])[mask], np.asarray(after[key])[mask])


def padded_from_150_to_200(name):
    """Return the outputs at observed points of windows of 150, and of the same padded to 200."""
    short = make_photometry(150, (150, 100, 20, 3))
    short, _ = probed_input(short, probes_of(short))
    long = {k: jnp.pad(x, [(0, 0), (0, 50)] + [(0, 0)] * (x.ndim - 2)) for k, x in short.items()}
    mask = np.asarray(short["mask"])
    before, after = run(name, short), run(name, long)
    return [(np.asarray(before[k])[mask], np.asarray(after[k])[:, :150][mask]) for k in before]


@pytest.mark.parametrize("name", LEAK_FREE)
def test_more_padding_changes_nothing(name):
    for before, after in padded_from_150_to_200(name):
        assert np.abs(after - before).max() <= 1e-6 * max(1.0, np.abs(before).max())


def test_official_attends_to_padding():
    for before, after in padded_from_150_to_200("official"):
        assert np.abs(after - before).max() > 1e-3


@pytest.mark.parametrize("name", list(SMALL))
def test_windows_without_a_visible_point_stay_finite(name):
    photometry = make_photometry(8, (0, 1, 8))
    photometry["hidden"] = photometry["mask"]

    def total(params):
        return sum((x**2).sum() for x in apply(name, params, photometry).values())

    value, gradient = jax.jit(jax.value_and_grad(total))(init(name))
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))


@pytest.mark.parametrize("name", LEAK_FREE)
def test_rows_do_not_see_each_other(name):
    photometry = make_photometry()
    probes = probes_of(photometry)
    together = run(name, photometry, probes)["reconstruction"]
    one = jax.tree.map(lambda x: x[1:2], (photometry, probes))
    np.testing.assert_allclose(run(name, *one)["reconstruction"][0], together[1], atol=1e-5)


def test_the_mask_token_stays_in_the_graph():
    photometry = make_photometry()
    probed, _ = probed_input(photometry, probes_of(photometry))

    def total(params):
        return apply("astromer2", params, probed)["reconstruction"].sum()

    assert jax.jit(jax.grad(total))(init("astromer2"))["mask_token"] != 0


@pytest.mark.parametrize("name", list(SMALL))
def test_layers_go_from_the_input_embedding_to_the_embedding(name):
    output = run(name, make_photometry())
    layers = np.asarray(output["layers"])
    assert layers.shape[2] == SMALL[name].blocks + 1
    np.testing.assert_array_equal(layers[:, :, -1], output["embedding"])
    assert (layers[:, :, 1:] != layers[:, :, :-1]).any((0, 1, 3)).all()


# What makes the recommended variant a smoother


def test_time_scales_span_the_given_range_in_every_block():
    model = Smoother(width=16, heads=4, blocks=2, shortest=0.5, longest=1000.0)
    params = jax.jit(model.init)(jax.random.key(0), {"photometry": make_photometry(8, (8,))})
    params = params["params"]
    scales = np.exp(params["log_scale"])
    assert scales.shape == (2, 4)
    assert scales.min() == pytest.approx(0.5, rel=1e-4)
    assert scales.max() == pytest.approx(1000.0, rel=1e-4)
    np.testing.assert_allclose(
        np.diff(np.log(np.sort(scales.ravel()))), np.log(2000) / 7, rtol=1e-3
    )
    assert (scales.max(1) / scales.min(1) > 100).all()


def test_attention_by_its_bias_alone_is_a_kernel_smoother():
    times = jnp.array([[0.0, 1.0, 3.0, 7.0]])
    visible = jnp.array([[True, True, False, True]])
    bias = kernel_bias(times, jnp.log(jnp.array([2.0]))) + key_bias(visible)
    weights = jax.nn.softmax(bias, axis=-1)[0, 0, 2]
    kernel = np.exp(-np.array([3.0, 2.0, np.inf, 4.0]) / 2.0)
    np.testing.assert_allclose(weights, kernel / kernel.sum(), atol=1e-6)


def test_smoother_starts_as_an_average_of_gaussian_processes():
    """At the start each process counts by its evidence, and nothing is corrected."""
    model = Smoother(width=16, heads=2, ffn=16, blocks=1)
    photometry = make_photometry(60, (60, 20), seed=1)
    seen, _ = probed_input(photometry, probes_of(photometry))
    params = model.init(jax.random.key(0), {"photometry": seen})["params"]
    output = model.apply({"params": params}, {"photometry": seen})["reconstruction"]
    for k in range(2):
        mask = np.asarray(seen["mask"][k])
        time, mag = (np.asarray(x[k], float)[mask] for x in (seen["times"], seen["values"][..., 0]))
        visible = ~np.asarray(seen["hidden"][k])[mask]
        scale = np.sqrt(mag[visible].var() + 1e-6)
        pairs = [
            dense(time, mag / scale, visible, kernels.order, tau, noise)
            for kernels in KERNELS
            for tau, noise in zip(kernels.scale, kernels.noise, strict=True)
        ]
        mean, evidence = (np.array(part) for part in zip(*pairs, strict=True))
        weights = np.exp(evidence - evidence.max())
        expected = scale * (weights @ mean) / weights.sum()
        np.testing.assert_allclose(output[k][mask], expected, atol=2e-3)
