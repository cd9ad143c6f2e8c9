"""The network of AstroMCAD with the authors' weights, against their outputs."""

import jax
import numpy as np
import pytest

from astro_jax.interop.astromcad import CLASSES, load_astromcad
from astro_jax.models.transient import Official
from astro_jax.passbands import wavelengths

pytestmark = pytest.mark.parity
TOLERANCE = 1e-5
NETWORKS = {
    "nohost": ("probs_nohost", "latent_nohost"),
    "host": ("probs_host", "latent_host"),
    "nohost_new": ("probs_nohost_new_onnx", None),
}


@pytest.fixture(scope="module")
def fixture(shared):
    with np.load(shared / "parity" / "transient_astromcad_parity.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def outputs(shared, fixture):
    """Return a function: network, rows -> probabilities and latents."""
    path = shared / "weights" / "transient_astromcad_ztfsims.npz"

    def run(network, x=fixture["x"]):
        fields, params = load_astromcad(path, network)
        batch = {"photometry": {"values": x, "mask": (x != 0).any(-1)}}
        host = fixture["host"]
        batch["metadata"] = {"values": host, "mask": np.ones(host.shape, bool)}
        output = jax.jit(Official(**fields).apply)({"params": params}, batch)
        return np.asarray(jax.nn.softmax(output["logits"])), np.asarray(output["embedding"]), output

    return run


@pytest.mark.parametrize("network", NETWORKS)
def test_probabilities_and_latents(network, outputs, fixture):
    probabilities, latents, _ = outputs(network)
    names = NETWORKS[network]
    assert np.abs(probabilities - fixture[names[0]]).max() < TOLERANCE
    assert probabilities.std(0).max() > 0.1
    if names[1]:
        expected = fixture[names[1]]
        assert np.abs(latents - expected).max() < TOLERANCE


def test_class_order(fixture):
    assert fixture["classes"].tolist() == list(CLASSES)


def test_the_fixture_is_fed_with_swapped_wavelengths(fixture):
    told = wavelengths("astromcad")
    used = np.unique(fixture["x"][..., 0])
    assert set(np.round(used[used > 0], 4)) == set(np.round(told[np.isfinite(told)], 4))


def test_swapping_the_bands_changes_the_output(outputs, fixture):
    told = wavelengths("astromcad")
    total = np.nanmin(told) + np.nanmax(told)
    x = fixture["x"].copy()
    x[..., 0] = np.where(x[..., 0] > 0, total - x[..., 0], 0)
    moved = np.abs(outputs("host", x)[0] - fixture["probs_host"]).max(-1)
    assert np.median(moved) > 0.1


def test_more_padding_changes_nothing(outputs, fixture):
    x = fixture["x"]
    longer = np.pad(x, ((0, 0), (0, 40), (0, 0)))
    assert np.abs(outputs("host", longer)[0] - outputs("host")[0]).max() < 1e-6


def test_a_step_is_the_output_of_the_curve_cut_there(outputs, fixture):
    x = fixture["x"]
    cut = np.where(np.arange(x.shape[1])[None, :, None] < 12, x, 0)
    steps = outputs("host")[2]["step_logits"][:, 11]
    np.testing.assert_allclose(outputs("host", cut)[2]["logits"], steps, atol=1e-5)
