"""The labelled surveys of the experiments, and a cache of what is slow to compute of them."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from absl import flags

import astro_jax
from astro_jax.data.curves import Curves
from astro_jax.data.labels import Labels, encode_labels
from astro_jax.data.read import read_survey
from astro_jax.infer import curve_vectors, vector_blocks
from astro_jax.supervised import encoder_run

SHARED = Path(os.environ.get("ASTRO_JAX_SHARED", "../shared"))
OFFICIAL = SHARED / "weights" / "astromer_macho_a0.npz"
NAMES = ["ogle3_lmc", "eros1", "macho", "asas", "crts"]
BANDS = {"eros1": "B", "macho": "R"}
WITHOUT = {"asas": ("Close Binary Eclipsing Systems",)}  # overlaps with its finer classes
flags.DEFINE_list("surveys", NAMES, "which surveys")
flags.DEFINE_string("cache", "runs/experiment_classify", "where features and vectors are kept")
FLAGS = flags.FLAGS


def file_of(name: str) -> str:
    """Return the path of the object table of a survey."""
    return str(SHARED / "data" / "variable_stars" / f"{name}.parquet")


def labelled(name: str) -> tuple[Curves, Labels]:
    """Return the curves of a survey that have a class of 40 objects or more, and their classes."""
    curves, labels = whole(name)
    known = labels.codes >= 0
    return curves.take(known), labels._replace(codes=labels.codes[known])


def others(name: str) -> Curves:
    """Return the other curves of a survey: without a label, or of a class that is left out."""
    curves, labels = whole(name)
    return curves.take(labels.codes < 0)


def whole(name: str) -> tuple[Curves, Labels]:
    """Return all curves of a survey, and their classes."""
    curves, _ = read_survey(file_of(name), band=BANDS.get(name))
    return curves, encode_labels(curves, without=WITHOUT.get(name, ()))


def kept(name: str, what: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Return an array of a survey from the cache, or compute and keep it."""
    path = Path(FLAGS.cache) / f"{name}_{Path(what).name}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}")
        with open(temporary, "wb") as file:
            np.save(file, compute())
        temporary.replace(path)
    return np.load(path)


def vectors_of(curves: Curves, encoder: str) -> np.ndarray:
    """Return the vectors of curves by an encoder; "untrained": that of base, drawn anew."""
    if encoder == "official":
        encoder = str(OFFICIAL)
    if encoder != "untrained":
        return curve_vectors(astro_jax.load(encoder), curves)
    config = astro_jax.load("base").config
    config.init = ""
    return curve_vectors(encoder_run(config, {"encoder": config.model.to_dict()}), curves)


@cache
def blocks_of(encoder: str) -> dict[str, int]:
    """Return the blocks of the vectors of an encoder by name and size."""
    same = {"official": str(OFFICIAL), "untrained": "base"}
    return vector_blocks(astro_jax.load(same.get(encoder, encoder)))
