"""What a head sees of a curve beside its photometry: arrays such as hand-made features.

`config.inputs` names them: {"features": "module:function"}, each a function of `Curves` that
returns numbers [N, F], and nothing of the curve but its photometry goes in.  They are scaled by
statistics of the training curves, which the run keeps.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from astro_jax.data.curves import Curves
from astro_jax.spec import resolve

LARGEST = 5.0  # of a scaled value: the tails of features are long


def hand_made_features(curves: Curves) -> np.ndarray:
    """Return the features of `evals.features`, [N, F]; the median magnitude is not among them.

    It tells how far a star is rather than what it is, and differs between surveys.
    """
    from astro_jax.evals.features import features

    names, values = features(curves)
    return values[:, [k for k, name in enumerate(names) if name != "median_mag"]]


def scaling(values: np.ndarray) -> dict[str, list[float]]:
    """Return median and spread (a normal's sigma from the quartiles, else 1) of columns [N, F]."""
    low, middle, high = np.percentile(values, [25, 50, 75], axis=0)
    spread = (high - low) / 1.349
    spread = np.where(spread > 0, spread, np.where(values.std(0) > 0, values.std(0), 1.0))
    return {"median": middle.tolist(), "spread": spread.tolist()}


def scaled(values: np.ndarray, scale: Mapping[str, Any]) -> np.ndarray:
    """Return (values - median) / spread within -5 .. 5, [N, F] float32."""
    z = (values - np.asarray(scale["median"])) / np.asarray(scale["spread"])
    return np.clip(z, -LARGEST, LARGEST).astype(np.float32)


def raw_inputs(curves: Curves, inputs: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return the arrays that `config.inputs` names, unscaled."""
    return {name: np.asarray(resolve(target)(curves)) for name, target in inputs.items()}


def with_inputs(curves: Curves, inputs: Mapping[str, str], scales: Mapping[str, Any]) -> Curves:
    """Return the curves with the scaled arrays that `config.inputs` names."""
    raw = raw_inputs(curves, inputs)
    return curves.with_arrays(**{name: scaled(raw[name], scales[name]) for name in raw})
