"""Small valid files of weights of every kind that `load` reads, to be damaged."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from interop import bundle
from interop.test_astrom3_weights import small_tensors
from interop.test_astromcad import NAMINGS, OURS, network, write_keras
from ml_collections import ConfigDict
from safetensors.numpy import save

import astro_jax
from astro_jax.interop.astromer import to_official
from astro_jax.models.astromer import Official
from astro_jax.spec import build, spec
from astro_jax.weights import Run, save_safetensors


class Weights(NamedTuple):
    """Valid weights: files by name, what `load` is given, which file is damaged, and its kind."""

    name: str
    files: dict[str, bytes]
    main: str
    damaged: str
    kind: str = "binary"


def small_run() -> Run:
    """Return a tiny encoder with drawn parameters."""
    model = spec(Official, width=8, heads=2, ffn=4, blocks=1, base=10000.0)
    batch = {
        "times": jnp.zeros((1, 4)), "values": jnp.zeros((1, 4, 1)), "mask": jnp.ones((1, 4), bool)
    }  # fmt: skip
    params = build(model).init(jax.random.key(0), {"photometry": batch})["params"]
    return Run(ConfigDict({"model": model, "window": 20}), build(model), params, 3)


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a zip of files by name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """Return an archive of arrays."""
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def weight_samples(folder: Path) -> Iterator[Weights]:
    """Yield weights of every kind; folder: where their writers may write."""
    run = small_run()
    official = to_official(run.params)
    conf = json.dumps({"layers": 1, "heads": 2, "head_dim": 8, "dff": 4, "max_obs": 20}).encode()
    bundle.write(folder / "weights", official)
    found = {path.name: path.read_bytes() for path in sorted(folder.glob("weights.*"))}
    found["conf.json"] = conf
    yield Weights("zip", {"w.zip": zipped(found)}, "w.zip", "w.zip")
    for name in found:
        files = {f"w/{n}": content for n, content in found.items()}
        kind = "text" if name.endswith("json") else "binary"
        yield Weights(f"checkpoint {name}", files, "w", f"w/{name}", kind)
    yield Weights("npz", {"w.npz": npz(official)}, "w.npz", "w.npz")
    cells = ["gru_cell", "gru_cell_1", "dense", "dense_1", "dense_2", "latent", "dense_3"]
    names = dict(zip(OURS, cells, strict=True))
    arrays = {f"host/{names[n.split('/')[0]]}/{n.split('/')[1]}": a for n, a in network().items()}
    yield Weights("archive", {"mcad.npz": npz(arrays)}, "mcad.npz", "mcad.npz")
    path = write_keras(folder / "w.h5", network(), NAMINGS["released"])
    yield Weights("h5", {"w.h5": path.read_bytes()}, "w.h5", "w.h5")
    tensors = {"m.safetensors": save(small_tensors())}
    yield Weights("astrom3", tensors, "m.safetensors", "m.safetensors")
    save_safetensors(run, folder / "own.safetensors")
    own = {"own.safetensors": (folder / "own.safetensors").read_bytes()}
    yield Weights("own", own, "own.safetensors", "own.safetensors")
    astro_jax.save_pretrained(run, folder / "given")
    given = {f"given/{p.name}": p.read_bytes() for p in sorted((folder / "given").iterdir())}
    for name in given:
        kind = "binary" if name.endswith("safetensors") else "text"
        yield Weights(name, given, "given", name, kind)
