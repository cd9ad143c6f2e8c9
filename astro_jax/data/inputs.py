"""What a head sees of a curve beside its photometry: arrays such as hand-made features.

`config.inputs` names them: {"features": "module:function"}, or a spec that builds such a function
of `Curves` and the encoder (a `Run`, None where there is none), which returns numbers [N, F], or
[N, P, 5] for candidate periods.  Nothing of the curve but its photometry goes in, unless a config
names columns by `features_and_columns`: then a prediction needs them too.  The numbers are scaled
by statistics of the training curves, which the run keeps, except for a head that wants them as they
are (`Forest`, `PeriodForest`); what is unknown (NaN) becomes 0.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from astro_jax.data.curves import Curves
from astro_jax.errors import UserError, suggest
from astro_jax.spec import build, resolve

FEATURES = "astro_jax.data.inputs:hand_made_features"
VECTORS = "astro_jax.data.inputs:encoder_vectors"
CANDIDATES = "astro_jax.data.inputs:period_candidates"
NOTHING = "astro_jax.data.inputs:nothing"
BEST = 4  # candidate periods of a curve
LARGEST = 5.0  # of a scaled value: the tails of features are long
HUGE = float(np.finfo(np.float32).max)  # what trees can take


def hand_made_features(curves: Curves, encoder: Any = None) -> np.ndarray:
    """Return the features of `evals.features`, [N, F]."""
    from astro_jax.evals.features import features

    return features(curves)[1]


def features_of_shape(curves: Curves, encoder: Any = None) -> np.ndarray:
    """Return the features but the median magnitude, [N, F - 1]: for a head that other surveys use.

    Within a survey of one galaxy the magnitude tells classes apart; between surveys it only tells
    how far and how deep they look.
    """
    from astro_jax.evals.features import features

    names, values = features(curves)
    return values[:, [k for k, name in enumerate(names) if name != "median_mag"]]


def encoder_vectors(curves: Curves, encoder: Any) -> np.ndarray:
    """Return what the encoder says of each curve, [N, V]; see `infer.curve_vectors`."""
    from astro_jax.infer import curve_vectors

    if encoder is None:
        raise UserError("the inputs name encoder_vectors, but the model has no encoder")
    return curve_vectors(encoder, curves)


def nothing(curves: Curves, encoder: Any = None) -> np.ndarray:
    """Return zeros, [N, 1], in the place of an array that a head is not to see."""
    return np.zeros((len(curves), 1), np.float32)


def period_candidates(curves: Curves, encoder: Any = None) -> np.ndarray:
    """Return the 4 best periods of `data.periods` and what speaks for them, [N, 4, 5], best first.

    The numbers: log10 of the period in days, power, significance and alias (0 or 1) as in
    `periods.Candidates`, and 1; all 0 where a curve has no further candidate.
    """
    from astro_jax.data.periods import candidate_periods

    best = candidate_periods(curves, BEST)
    found = np.isfinite(best.periods)
    log = np.log10(np.where(found, best.periods, 1.0))
    numbers = np.stack([log, best.power, best.significance, best.alias, found], axis=-1)
    return np.where(found[..., None], numbers, 0.0)


def blocks_of(inputs: Mapping[str, Any], encoder: Any) -> dict[str, int]:
    """Return the blocks of `vector` by name and size; none where it is not `encoder_vectors`."""
    from astro_jax.infer import vector_blocks

    return vector_blocks(encoder) if inputs.get("vector") == VECTORS else {}


def features_and_columns(names: Sequence[str]) -> Callable[..., np.ndarray]:
    """Return a function of curves to `hand_made_features` and the columns `names`, [N, F + C].

    For a config: inputs = {"features": spec(features_and_columns, names=("period",))}.
    """

    def both(curves: Curves, encoder: Any = None) -> np.ndarray:
        columns = [number_column(curves, name) for name in names]
        return np.column_stack([hand_made_features(curves), *columns])

    return both


def number_column(curves: Curves, name: str) -> np.ndarray:
    """Return a column as numbers, [N] float64, NaN where null; UserError where it is none."""
    there = curves.columns.column_names
    if name not in there:
        raise UserError(
            f"the curves lack the column '{name}', which is needed{suggest(name, there)}"
        )
    try:
        values = [np.nan if v is None else float(v) for v in curves.columns[name].to_pylist()]
    except (TypeError, ValueError) as error:
        raise UserError(f"column '{name}' holds no numbers ({error})") from error
    return np.array(values, float)


def scaling(values: np.ndarray) -> dict[str, list[float]]:
    """Return median and spread (a normal's sigma from the quartiles, else 1) of columns [N, F].

    NaN counts nowhere; a column without any number has median 0 and spread 1.
    """
    values = np.where(np.isfinite(values).any(0), values, np.zeros((), values.dtype))
    low, middle, high = np.nanpercentile(values, [25, 50, 75], axis=0)
    std, spread = np.nanstd(values, axis=0), (high - low) / 1.349
    spread = np.where(spread > 0, spread, np.where(std > 0, std, 1.0))
    return {"median": middle.tolist(), "spread": spread.tolist()}


def scaled(values: np.ndarray, scale: Mapping[str, Any] | None) -> np.ndarray:
    """Return (values - median) / spread within -5 .. 5, [N, F] float32; 0 where NaN.

    Without a scale the values stay as they are, within the range of float32.
    """
    if scale is None:
        return np.nan_to_num(np.clip(values, -HUGE, HUGE), nan=0.0).astype(np.float32)
    z = (values - np.asarray(scale["median"])) / np.asarray(scale["spread"])
    return np.clip(np.where(np.isnan(z), 0.0, z), -LARGEST, LARGEST).astype(np.float32)


def raw_inputs(
    curves: Curves, inputs: Mapping[str, Any], encoder: Any = None
) -> dict[str, np.ndarray]:
    """Return the arrays that `config.inputs` names, unscaled."""
    return {name: np.asarray(_function(x)(curves, encoder)) for name, x in inputs.items()}


def _function(described: Any) -> Callable[..., np.ndarray]:
    return build(described) if isinstance(described, Mapping | ConfigDict) else resolve(described)


def with_inputs(
    curves: Curves, inputs: Mapping[str, Any], scales: Mapping[str, Any], encoder: Any = None
) -> Curves:
    """Return the curves with the arrays that `config.inputs` names, scaled where `scales` say."""
    raw = raw_inputs(curves, inputs, encoder)
    return curves.with_arrays(**{name: scaled(raw[name], scales.get(name)) for name in raw})
