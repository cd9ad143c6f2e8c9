"""Weights of AstroMCAD: the archive, Keras files written in their layouts, and what is refused."""

import logging

import numpy as np
import pytest

from astro_jax.errors import UserError
from astro_jax.interop.astromcad import CLASSES, is_astromcad, load_astromcad
from astro_jax.models.transient import Official
from astro_jax.tree import flatten
from astro_jax.weights import load

h5py = pytest.importorskip("h5py", reason="extra `keras`: h5py")
NAME = "weights/transient_astromcad_ztfsims.npz"

# Keras names of the layers in the order of the network: as the released files have them, as a
# second model of one session has them, and as the transfer code names them.
NAMINGS = {
    "released": ["gru", "gru_1", "dense", "dense_1", "dense_2", "latent", "dense_3"],
    "second": ["gru_2", "gru_3", "dense_4", "dense_5", "dense_6", "latent", "dense_7"],
    "transfer": ["gru_1", "gru_2", "dense_1", "dense_2", "dense_3", "latent", "output"],
    "old head": ["gru_1", "gru_2", "dense_1", "dense_2", "dense_3", "latent", "old_output"],
}
OURS = ["gru_1", "gru_2", "dense_1", "metadata", "dense_3", "latent", "output"]


def network(width=5, latent=4, classes=3, features=2, seed=0):
    """Draw a small network by our names."""
    rng = np.random.default_rng(seed)
    shapes = {}
    for name, inputs in (("gru_1", 4), ("gru_2", width)):
        shapes |= {
            f"{name}/kernel": (inputs, 3 * width),
            f"{name}/recurrent_kernel": (width, 3 * width),
            f"{name}/bias": (2, 3 * width),
        }
    joined = width + (10 if features else 0)
    dense = {"dense_1": (width, width), "metadata": (features, 10), "dense_3": (joined, width)}
    dense |= {"latent": (width, latent), "output": (latent, classes)}
    for name, shape in dense.items():
        if shape[0]:
            shapes |= {f"{name}/kernel": shape, f"{name}/bias": shape[1:]}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def write_keras(path, params, names, root="model_weights", colon=":0", scope=True):
    """Write HDF5 as Keras does: a group a layer, in it the arrays under the layer's scope."""
    layers = {name.split("/")[0] for name in params}
    ours = [name for name in OURS if name in layers]
    theirs = [n for n, o in zip(names, OURS, strict=True) if o in layers]
    with h5py.File(path, "w") as file:
        top = file.create_group(root) if root else file
        top.attrs["layer_names"] = [b"lc", b"masking", *(n.encode() for n in theirs)]
        top.create_group("lc")
        top.create_group("top_level_model_weights")
        for cell, (name, layer) in enumerate(zip(ours, theirs, strict=True)):
            inner = layer + (f"/gru_cell_{cell}" if name.startswith("gru") else "")
            for leaf in ("kernel", "recurrent_kernel", "bias"):
                if f"{name}/{leaf}" in params:
                    at = f"{layer}/{inner}/{leaf}{colon}" if scope else f"{layer}/{leaf}{colon}"
                    top[at] = params[f"{name}/{leaf}"]
        if root:
            file["optimizer_weights/Adam/iter:0"] = 3
            file.attrs["keras_version"] = "2.10.0"
    return path


def refused(path, *words, **options):
    with pytest.raises(UserError) as error:
        load_astromcad(path, **options)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


# Keras files


@pytest.mark.parametrize("features", [2, 0])
@pytest.mark.parametrize("naming", NAMINGS)
def test_keras_files(tmp_path, naming, features):
    params = network(features=features)
    path = write_keras(tmp_path / "model.h5", params, NAMINGS[naming])
    fields, found = load_astromcad(path)
    assert fields == {"classes": 3, "width": 5, "latent_width": 4, "features": features}
    found = flatten(found)
    assert found.keys() == params.keys()
    for name, values in params.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize(
    "layout",
    [{"root": ""}, {"colon": ""}, {"colon": "", "scope": False}, {"root": "", "colon": ""}],
)
def test_other_versions_of_the_layout(tmp_path, layout):
    """`save_weights` has no group model_weights; Keras 3 writes no :0."""
    params = network()
    path = write_keras(tmp_path / "w.weights.h5", params, NAMINGS["released"], **layout)
    found = flatten(load_astromcad(path)[1])
    assert all(np.array_equal(found[name], values) for name, values in params.items())


def test_load_builds_the_model(tmp_path):
    path = write_keras(tmp_path / "m.h5", network(), NAMINGS["released"])
    run = load(path)
    assert run.model == Official(classes=3, width=5, latent_width=4, features=2)
    assert run.config.classes == [] and run.config.rows.wavelengths == "astromcad"
    assert list(run.config.metadata) == ["redshift", "mwebv"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"latent/bias": None}, ["latent has no bias"]),
        ({"latent/bias": np.zeros(5)}, ["latent/bias has shape (5,), not (4,)"]),
        ({"gru_1/bias": np.zeros(15)}, ["gru/bias has shape (15,)", "reset_after=False"]),
        ({"gru_2/kernel": np.zeros((4, 15))}, ["gru_1/kernel has shape (4, 15), not (5, 15)"]),
        ({"output/kernel": np.full((4, 3), np.nan)}, ["dense_3/kernel", "not finite"]),
        ({"dense_1/gamma": np.zeros(5)}, []),
        (
            {"output/kernel": None, "output/bias": None},
            ["dense_1/kernel has shape (2, 10), not (5, 5)"],
        ),
        (
            {f"gru_2/{leaf}": None for leaf in ("kernel", "recurrent_kernel", "bias")},
            ["not a network of AstroMCAD", "two GRUs", "dense_3"],
        ),
    ],
)
def test_what_is_missing_or_of_another_shape(tmp_path, change, words):
    params = {n: v for n, v in (network() | change).items() if v is not None}
    path = write_keras(tmp_path / "m.h5", params, NAMINGS["released"])
    if words:
        refused(path, "m.h5", *words)
    else:  # an array that the writer of this test knows no leaf for is not in the file
        assert "dense_1/gamma" not in flatten(load_astromcad(path)[1])


def test_an_array_without_a_place(tmp_path):
    path = write_keras(tmp_path / "m.h5", network(), NAMINGS["released"])
    with h5py.File(path, "a") as file:
        file["model_weights/dense/dense/gamma:0"] = np.zeros(5)
    refused(path, "no place for dense_1/gamma")


def test_files_that_are_none(tmp_path):
    (tmp_path / "m.h5").write_text("no HDF5")
    refused(tmp_path / "m.h5", "m.h5 cannot be read")
    refused(tmp_path / "nowhere.h5", "nowhere.h5 cannot be read")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    refused(tmp_path / "empty.h5", "the file has no layers")
    refused(tmp_path / "m.h5", "network='host' is for the archive", network="host")


# The archive


def test_the_archive(shared):
    fields, params = load_astromcad(shared / NAME, "nohost")
    assert fields == {"classes": 12, "width": 100, "latent_width": 100, "features": 0}
    assert sum(p.size for p in flatten(params).values()) == 123_912
    with np.load(shared / NAME) as archive:
        flat = flatten(params)
        for ours, theirs in [
            ("gru_1/kernel", "gru_cell/kernel"),
            ("gru_2/bias", "gru_cell_1/bias"),
            ("dense_1/kernel", "dense/kernel"),
            ("dense_3/kernel", "dense_1/kernel"),
            ("latent/kernel", "latent/kernel"),
            ("output/bias", "dense_2/bias"),
        ]:
            np.testing.assert_array_equal(flat[ours], archive[f"nohost/{theirs}"])
        host = flatten(load_astromcad(shared / NAME)[1])
        np.testing.assert_array_equal(host["metadata/kernel"], archive["host/dense_1/kernel"])
        np.testing.assert_array_equal(host["output/kernel"], archive["host/dense_3/kernel"])
        assert len(host) == len([n for n in archive.files if n.startswith("host/")])


def test_load_knows_and_says_that_the_bands_are_swapped(shared, caplog):
    with caplog.at_level(logging.WARNING):
        run = load(shared / NAME)
    assert "g and r swapped" in caplog.text
    assert run.config.rows.wavelengths == "astromcad" and run.config.rows.dilate == "redshift"
    assert tuple(run.config.classes) == CLASSES
    assert load(shared / NAME, network="nohost").model.features == 0


def test_an_unknown_network(shared):
    refused(shared / NAME, "no network 'hosts'", "did you mean 'host'", network="hosts")


def test_what_is_told_from_the_weights_of_astromer(shared, tmp_path):
    assert is_astromcad(shared / NAME) and is_astromcad("x.h5")
    assert not is_astromcad(shared / "weights/astromer_macho_a0.npz")
    (tmp_path / "broken.npz").write_text("no archive")
    assert not is_astromcad(tmp_path / "broken.npz")
    assert load(shared / "weights/astromer_macho_a0.npz").config.window == 200
