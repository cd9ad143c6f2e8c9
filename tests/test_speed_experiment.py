"""The speed experiment: its plain networks are the same networks, its counts are right."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import ROOT

from astro_jax.models.astrom3 import (
    AstroM3,
    GalSpecNet,
    OfficialInformer,
    OfficialMetadata,
)
from astro_jax.models.astromer import Paper
from astro_jax.models.transient import Official
from astro_jax.nn.informer import sampled_keys

FOLDER = ROOT / "experiments" / "speed"
pytestmark = pytest.mark.usefixtures("hastily")


@pytest.fixture(scope="module")
def plain():
    sys.path.insert(0, str(FOLDER))
    try:
        import plain

        yield plain
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def measure(plain):
    import measure

    return measure


def drawn(model, batch):
    """Return parameters of which none is zero."""
    params = jax.jit(model.init)(jax.random.key(0), batch)["params"]
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, moved)


def light_curves(rows=3, length=20, channels=2):
    rng = np.random.default_rng(0)
    mask = np.arange(length) < np.array([length, length // 2, 1])[:rows, None]
    times = np.sort(rng.uniform(-90, 90, mask.shape), 1).astype(np.float32) * mask
    values = rng.normal(size=(*mask.shape, channels)).astype(np.float32) * mask[..., None]
    return {"times": times, "values": values, "mask": mask}


def test_plain_astromer_is_the_network_of_the_paper(plain):
    model = Paper(width=16, heads=2, ffn=8, blocks=2)
    batch = {"photometry": light_curves()}
    batch["photometry"]["hidden"] = np.random.default_rng(1).random((3, 20)) < 0.3
    params = drawn(model, batch)
    ours, theirs = (
        jax.jit(model.apply)({"params": params}, batch),
        jax.jit(plain.astromer_apply)({"params": params}, batch),
    )
    for name in ("embedding", "reconstruction"):
        np.testing.assert_allclose(ours[name], theirs[name], atol=2e-5)


def test_plain_astrom3_is_the_released_network(plain):
    towers = {
        "photometry": OfficialInformer(width=16, heads=2, ffn=8, blocks=2),
        "spectrum": GalSpecNet(),
        "metadata": OfficialMetadata(width=8),
    }
    rng = np.random.default_rng(0)
    light = light_curves(channels=9)
    index = jnp.asarray(rng.integers(0, 20, (2, 20, sampled_keys(20))))
    told = {"values": rng.normal(size=(3, 5)).astype(np.float32), "mask": rng.random((3, 5)) < 0.7}
    shape = (3, 515)
    spectra = {"values": rng.normal(size=(*shape, 3)), "mask": np.ones(shape, bool)}
    spectra["values"] = spectra["values"].astype(np.float32)
    light = {"values": light["values"], "mask": light["mask"], "draws": index}
    batch = {"photometry": light, "spectrum": spectra, "metadata": told}
    model = AstroM3(towers, space=8)
    params = drawn(model, batch)
    ours = jax.jit(model.apply)({"params": params}, batch)["embedding"]
    for name, vectors in jax.jit(plain.astrom3)(params, batch, index).items():
        np.testing.assert_allclose(ours[name], vectors, atol=2e-5, err_msg=name)


def test_plain_transient_is_the_released_network(plain):
    model = Official(classes=3, width=8, latent_width=8)
    known = np.array([[True, False], [True, True], [False, False]])
    told = {"values": np.ones((3, 2), np.float32), "mask": known}
    batch = {"photometry": light_curves(channels=4), "metadata": told}
    params = drawn(model, batch)
    ours, theirs = (
        jax.jit(model.apply)({"params": params}, batch),
        jax.jit(plain.transient)({"params": params}, batch),
    )
    for name in ("logits", "step_logits", "embedding"):
        np.testing.assert_allclose(ours[name], theirs[name], atol=2e-5)


def test_flops_are_those_of_the_products(plain, measure):
    # 2 blocks: 2 T D (4 D + 2 FFN) + 4 T^2 D; 344 MFLOP with the embedding and the decoder
    batch = jax.eval_shape(lambda: {"photometry": light_curves(1, 200)})
    params = jax.eval_shape(Paper().init, jax.random.key(0), batch)["params"]
    found = measure.matmul_flops(plain.astromer, params, batch["photometry"])
    blocks = 2 * (2 * 200 * 256 * (4 * 256 + 2 * 128) + 4 * 200**2 * 256)
    assert found == blocks + 2 * 2 * 200 * 256
    assert found == pytest.approx(344e6, rel=0.01)


def test_flops_of_loops_and_convolutions(measure):
    def looped(x):
        return jax.lax.scan(lambda c, _: (c @ x, None), x, None, length=5)[0]

    assert measure.matmul_flops(looped, jnp.ones((4, 4))) == 5 * 2 * 4**3
    spec = ("NWC", "WIO", "NWC")
    one = lambda x, k: jax.lax.conv_general_dilated(x, k, (1,), "VALID", dimension_numbers=spec)  # noqa: E731
    counted = measure.matmul_flops(one, jnp.ones((2, 10, 3)), jnp.ones((3, 3, 7)))
    assert counted == 2 * (2 * 8 * 7) * 9


@pytest.mark.slow
def test_one_command_measures_all(tmp_path):
    words = [sys.executable, str(FOLDER / "run.py"), "--tiny", "--repeats=1"]
    output = tmp_path / "x.json"
    subprocess.run([*words, f"--output={output}"], cwd=ROOT, check=True, timeout=900)
    told = json.loads(output.read_text())
    assert told["machine"]["jax"] == jax.__version__
    assert [name.partition(",")[0] for name in told["cases"]] == [
        "ASTROMER",
        "AstroM3",
        "transients",
    ]
    for case in told["cases"].values():
        assert {"input", "transfer", "step", "loop", "plain step"} <= set(case["train"])
        assert case["train"]["step"]["rate"] > 0 and case["train"]["step"]["roof"] > 0
        assert case["encode"]["API"]["rate"] > 0 and case["memory_mib"] > 0
    assert told["startup"]["help_seconds"] > 0 and len(told["startup"]["peak_mib"]) == 3


@pytest.mark.slow
def test_processes_on_all_cores_are_measured(tmp_path):
    words = [sys.executable, str(FOLDER / "cores.py"), "--tiny", "--repeats=1", "--rounds=1"]
    subprocess.run([*words, f"--output={tmp_path / 'x.json'}"], cwd=ROOT, check=True, timeout=900)
    found = json.loads((tmp_path / "x.json").read_text())["found"]
    assert {(way["case"], way["processes"] > 1) for way in found} >= {
        ("astromer:64", True),
        ("astrom3:32", True),
        ("tower:32", False),
    }
    assert all(told["rate"] > 0 and told["roof"] > 0 for way in found for told in way["rounds"])
