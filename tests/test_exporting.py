"""An encoder as a program that runs without this package."""

import subprocess
import sys

import numpy as np
import pytest
from ml_collections import ConfigDict

from astro_jax.errors import UserError
from astro_jax.exporting import export_encoder
from astro_jax.models.transient import Official
from astro_jax.spec import spec
from astro_jax.weights import Run, load

ALONE = """
import sys
sys.modules["astro_jax"] = None  # importing it would raise
import numpy as np
from jax import export
program = export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
given = np.load(sys.argv[2])
for k in range(2):
    names = (f"times{k}", f"values{k}", f"mask{k}")
    np.save(f"{sys.argv[2]}.{k}.npy", program.call(*(given[n] for n in names)))
"""


def windows(rows: int, length: int, seed: int) -> list[np.ndarray]:
    """Return times, values and mask of random windows with padding."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(-100, 100, (rows, length)), axis=1).astype(np.float32)
    values = rng.normal(size=(rows, length, 2)).astype(np.float32)
    values[..., 1] = rng.uniform(0.01, 0.1, (rows, length))
    mask = np.arange(length) < rng.integers(length // 2, length, (rows, 1))
    return [times, values, mask]


@pytest.mark.parametrize("which", ["finished", "base"])
def test_runs_alone_for_any_batch_and_length(which, request, tmp_path):
    run = load("base" if which == "base" else request.getfixturevalue(which))
    export_encoder(run, tmp_path / "encoder.stablehlo")
    batches = [windows(3, 20, 0), windows(2, 33, 1)]
    names = ("times", "values", "mask")
    arrays = {f"{n}{k}": x for k, b in enumerate(batches) for n, x in zip(names, b, strict=True)}
    np.savez(tmp_path / "given.npz", **arrays)
    words = [sys.executable, "-c", ALONE, str(tmp_path / "encoder.stablehlo")]
    subprocess.run([*words, str(tmp_path / "given.npz")], check=True, cwd=tmp_path)
    for k, (times, values, mask) in enumerate(batches):
        found = np.load(tmp_path / f"given.npz.{k}.npy")
        batch = {"photometry": {"times": times, "values": values, "mask": mask}}
        told = run.model.apply({"params": run.params}, batch, train=False)["embedding"]
        assert found.shape == told.shape and found.std() > 0.01
        np.testing.assert_allclose(found[mask], np.asarray(told)[mask], atol=1e-4)


def test_what_is_no_encoder_is_refused(tmp_path):
    config = {"model": spec(Official, classes=3), "rows": {}, "classes": list("abc")}
    run = Run(ConfigDict(config), Official(classes=3), {}, 0)
    with pytest.raises(UserError, match="ASTROMER"):
        export_encoder(run, tmp_path / "x")
    assert not list(tmp_path.iterdir())
