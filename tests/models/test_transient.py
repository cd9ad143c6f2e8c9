"""Classifiers of transients: public parameter paths, masks, steps, metadata."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astro_jax.data.simulate.transient_light import distance_modulus
from astro_jax.models.transient import Official, Transient, keep_features, log_distance, summed
from astro_jax.nn.running import COLUMNS
from astro_jax.optim import path_name

T = 24
SMALL = {
    "transient": Transient(classes=3, width=8, latent_width=6),
    "official": Official(classes=3, width=8, latent_width=6),
    "bare": Transient(classes=3, width=8, latent_width=6, features=0),
}
WITH_METADATA = ["transient", "official"]


def make_batch(sizes=(T, 15, 5, 1), seed=0):
    rng = np.random.default_rng(seed)
    mask = np.arange(T) < np.array(sizes)[:, None]
    values = rng.standard_normal((*mask.shape, 4)) * mask[..., None]
    metadata = rng.uniform(0, 0.3, (len(sizes), 2))
    batch = {
        "photometry": {"values": values.astype(np.float32), "mask": mask},
        "metadata": {"values": metadata.astype(np.float32), "mask": np.ones((len(sizes), 2), bool)},
    }
    return jax.tree.map(jnp.asarray, batch)


@cache
def params_of(name):
    return jax.jit(SMALL[name].init)(jax.random.key(0), make_batch())["params"]


@cache
def compiled(name, train=False):
    return jax.jit(partial(SMALL[name].apply, train=train))


def run(name, batch, **more):
    return compiled(name, bool(more))({"params": params_of(name)}, {**batch, **more})


def paths(model):
    shapes = jax.eval_shape(model.init, jax.random.key(0), make_batch())["params"]
    return {path_name(p): x.shape for p, x in jax.tree_util.tree_leaves_with_path(shapes)}


# Public names and sizes


def grus(told):
    return {
        f"{gru}/{leaf}": shape
        for gru, inputs in (("gru_1", told), ("gru_2", 100))
        for leaf, shape in (
            ("kernel", (inputs, 300)),
            ("recurrent_kernel", (100, 300)),
            ("bias", (2, 300)),
        )
    }


DENSE = {
    "dense_1": (100, 100),
    "metadata": (4, 10),
    "dense_3": (110, 100),
    "latent": (100, 100),
    "output": (100, 12),
}


def expected(told=4, **changes):
    dense = {name: shape for name, shape in (DENSE | changes).items() if shape}
    kernels = {f"{name}/kernel": shape for name, shape in dense.items()}
    return grus(told) | kernels | {f"{name}/bias": shape[1:] for name, shape in dense.items()}


def test_parameter_paths_and_shapes_are_public():
    assert paths(Transient(classes=12)) == expected(told=4 + COLUMNS + 4)
    assert paths(Official()) == expected(metadata=(2, 10))
    without = {"metadata": None, "dense_3": (100, 100)}
    assert paths(Transient(classes=12, features=0)) == expected(told=4 + COLUMNS, **without)
    assert paths(Official(features=0)) == expected(**without)


def test_the_published_number_of_parameters():
    """123,912 without metadata, 12 classes."""
    assert sum(int(np.prod(s)) for s in paths(Official(features=0)).values()) == 123_912


# Masks and steps


@pytest.mark.parametrize("junk", [7.0, np.inf, np.nan])
@pytest.mark.parametrize("name", SMALL)
def test_what_padding_holds_changes_no_bit(name, junk):
    batch = make_batch()
    photometry = batch["photometry"]
    dirty = jnp.where(photometry["mask"][..., None], photometry["values"], junk)
    other = {**batch, "photometry": {**photometry, "values": dirty}}
    for key, value in run(name, batch).items():
        np.testing.assert_array_equal(value, run(name, other)[key])


@pytest.mark.parametrize("name", SMALL)
def test_a_step_knows_nothing_of_later_ones(name):
    batch = make_batch()
    photometry = batch["photometry"]
    cut = {**batch, "photometry": {**photometry, "mask": photometry["mask"] & (jnp.arange(T) < 9)}}
    whole, short = run(name, batch), run(name, cut)
    np.testing.assert_allclose(short["logits"], whole["step_logits"][:, 8], atol=1e-6)
    np.testing.assert_allclose(short["step_logits"][:, :9], whole["step_logits"][:, :9], atol=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_the_last_output_is_that_of_the_last_observation(name):
    output = run(name, make_batch())
    steps = np.asarray(output["step_logits"])
    for row, size in enumerate((T, 15, 5, 1)):
        np.testing.assert_array_equal(output["logits"][row], steps[row, size - 1])
    assert output["embedding"].shape == (4, 6) and steps.shape == (4, T, 3)
    assert np.ptp(steps[0], axis=0).min() > 0


@pytest.mark.parametrize("name", SMALL)
def test_rows_do_not_see_each_other(name):
    batch = make_batch()
    one = jax.tree.map(lambda x: x[1:2], batch)
    np.testing.assert_allclose(
        run(name, one)["logits"][0], run(name, batch)["logits"][1], atol=1e-6
    )


def test_a_curve_without_a_point_stays_finite():
    batch = make_batch(sizes=(0, 3))

    def total(params):
        output = SMALL["transient"].apply({"params": params}, batch)
        return sum((x**2).sum() for x in output.values())

    value, gradient = jax.jit(jax.value_and_grad(total))(params_of("transient"))
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))


# Metadata


@pytest.mark.parametrize("name", WITH_METADATA)
def test_metadata_count_and_unknown_ones_do_not(name):
    batch = make_batch()
    metadata = batch["metadata"]
    moved = {**batch, "metadata": {**metadata, "values": metadata["values"] + 0.2}}
    assert np.abs(run(name, batch)["logits"] - run(name, moved)["logits"]).min() > 0
    unknown = {"values": metadata["values"], "mask": jnp.zeros((4, 2), bool)}
    junk = {"values": jnp.full((4, 2), jnp.nan), "mask": jnp.zeros((4, 2), bool)}
    a, b = (run(name, {**batch, "metadata": m})["logits"] for m in (unknown, junk))
    np.testing.assert_array_equal(a, b)


def test_only_the_recommended_variant_tells_unknown_from_zero():
    batch = make_batch()
    zero = jnp.zeros((4, 2))
    outputs = {
        name: [
            run(name, {**batch, "metadata": {"values": zero, "mask": jnp.full((4, 2), known)}})
            for known in (True, False)
        ]
        for name in WITH_METADATA
    }
    known, unknown = (np.asarray(o["logits"]) for o in outputs["transient"])
    assert np.abs(known - unknown).min() > 0
    known, unknown = (np.asarray(o["logits"]) for o in outputs["official"])
    np.testing.assert_array_equal(known, unknown)


def test_dropout_hides_metadata_by_the_key_of_the_row():
    batch, keys = make_batch(), jax.random.split(jax.random.key(1), 4)
    output = run("transient", batch, key=keys)["logits"]
    np.testing.assert_array_equal(output, run("transient", batch, key=keys)["logits"])
    kept = keep_features(keys, 2, 0.3)
    hidden = {**batch, "metadata": {**batch["metadata"], "mask": kept}}
    np.testing.assert_allclose(output, run("transient", hidden)["logits"], atol=1e-6)
    order = np.array([2, 0, 3, 1])
    mixed = jax.tree.map(lambda x: x[order], batch)
    np.testing.assert_allclose(
        run("transient", mixed, key=keys[order])["logits"], output[order], atol=1e-6
    )


def test_the_rate_of_the_dropout():
    kept = keep_features(jax.random.split(jax.random.key(0), 4000), 2, 0.3)
    assert kept.shape == (4000, 2)
    np.testing.assert_allclose(kept.mean(0), 0.7, atol=0.03)
    assert abs(np.corrcoef(np.asarray(kept, float).T)[0, 1]) < 0.05


def test_the_distance_is_that_of_the_cosmology_within_five_per_cent():
    z = np.array([0.005, 0.02, 0.06, 0.2, 0.5, 1.0])
    true = 10 ** (distance_modulus(z) / 5)
    ratio = np.exp(log_distance(z)) / (true / true[2])
    assert np.abs(ratio - 1).max() < 0.05


# Sub-types


def test_a_class_is_as_probable_as_its_sub_types_together():
    logits = jnp.array([[0.3, -1.0, 2.0, 0.1]])
    p = np.asarray(jax.nn.softmax(logits))[0]
    q = np.asarray(jax.nn.softmax(summed(logits, (1, 0, 1, 0), 2)))[0]
    np.testing.assert_allclose(q, [p[1] + p[3], p[0] + p[2]], rtol=1e-5)


def test_a_network_with_sub_types_says_the_sums():
    fine = Transient(classes=4, width=8, latent_width=6, features=0)
    coarse = Transient(classes=2, width=8, latent_width=6, features=0, leaves=(0, 1, 1, 0))
    batch = make_batch()
    params = jax.jit(fine.init)(jax.random.key(0), batch)["params"]
    assert paths(coarse) == paths(fine)
    p, q = (
        np.asarray(jax.nn.softmax(jax.jit(model.apply)({"params": params}, batch)["step_logits"]))
        for model in (fine, coarse)
    )
    np.testing.assert_allclose(q[..., 0], p[..., 0] + p[..., 3], rtol=1e-4)
