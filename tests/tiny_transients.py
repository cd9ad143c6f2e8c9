"""Transients that are small enough for a test, and the words that make their jobs small."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from ml_collections import ConfigDict
from tiny import ROOT

from astro_jax.data.simulate.transients import simulate_transients
from astro_jax.data.transient_source import with_types
from astro_jax.data.transients import Transients

TRAIN = f"--config={ROOT / 'configs' / 'train_ztf.py'}"
TRANSFER = f"--config={ROOT / 'configs' / 'transfer_bts.py'}"
PREDICT = f"--config={ROOT / 'configs' / 'predict.py'}"
SMALL = [
    "--config.window=32",
    "--config.batch_size=16",
    "--config.steps=4",
    "--config.eval_every=2",
    "--config.log_every=1",
    "--config.eval_windows=16",
    "--config.epochs=0",
    "--config.min_valid=0",
]
NETWORK = ["--config.model.width=8", "--config.model.latent_width=8"]
SIMULATED = ["--config.data.simulate.transients=240", "--config.data.min_class=5"]
BASE = [TRAIN, *SMALL, *NETWORK, *SIMULATED, "--config.data.test=0.2"]


def labelled_transients(count: int = 160, seed: int = 3) -> Transients:
    """Return YSE-like transients of SNIa, SNII and SNIb/c, with more that the label rules are for.

    Labels are the types; 4 are "rare kind", 5 have the empty label and 3 none; every seventh has no
    redshift; the first two objects are one star.
    """
    shares = {"SNIa": 5.0, "SNII": 3.0, "SNIb": 1.0, "SNIc": 1.0}
    found = with_types(simulate_transients(count, seed, "yse", shares))
    columns = found.columns
    label = columns["label"].to_pylist()
    label[-12:] = ["rare kind"] * 4 + [""] * 5 + [None] * 3
    z = [None if k % 7 == 0 else v for k, v in enumerate(columns["redshift"].to_pylist())]
    star = columns["star"].to_pylist()
    star[1], label[1] = star[0], label[0]
    for name, values in (("label", label), ("redshift", z), ("star", star)):
        kind = pa.float64() if name == "redshift" else pa.string()
        place = columns.column_names.index(name)
        columns = columns.set_column(place, name, pa.array(values, kind))
    return found.with_columns(columns)


def known_labels(transients: Transients) -> np.ndarray:
    """Return which objects have a label that is learned, [N] bool."""
    return np.array([label in ("SNIa", "SNII", "SNIb/c") for label in transients.label])


def transfer_words(config: ConfigDict, base: Path, file: Path) -> list[str]:
    """Return the words that make a variant of transfer small: two steps, from `base` if it may."""
    network = NETWORK if config.model else [f"--config.init={base}"]
    return [*SMALL, *network, f"--config.data.path={file}", "--config.labels=24",
            "--config.steps=2"]  # fmt: skip


def readme_words(job: str) -> list[str]:
    """Return what makes a line of the README on transients small."""
    if job == "train_ztf":
        return [*SMALL, *NETWORK, *SIMULATED]
    return small_curve() if job == "learning_curve" else [*SMALL, "--config.data.test=0.2"]


def small_curve() -> list[str]:
    """Return the words that make a learning curve small: two methods, two sizes, one seed."""
    fits = [
        f"--config.fits.{method}.{key}"
        for method in ("transfer", "direct_paper")
        for key in ("steps=2", "epochs=0", "batch_size=16")
    ]
    network = [f"--config.fits.direct_paper.model.{key}=8" for key in ("width", "latent_width")]
    return [
        *fits,
        *network,
        "--config.window=32",
        "--config.methods=('transfer', 'direct_paper')",
        "--config.sizes=(0, 8, 20)",
        "--config.seeds=1",
        "--config.base.data.simulate.transients=60",
    ]
