"""Predict a number of each star, such as its log period, from its light curve.

    python -m astro_jax.main --config=configs/regress.py --config.init=base \
        --config.data.path=ogle.parquet --config.data.target=log_period --workdir=runs/reg

`data.target` names a numeric column; "log_x" without such a column is log10 of column x.  Variants:
none (our head on the frozen encoder, with hand-made features), `period` (recommended for periods:
trees choose among the candidates of a periodogram, grown at once: `steps` and the optimiser do not
matter; it reads no encoder, and wants a `data.target` that is log10 of a period in days, by a name
such as log_period), `mlp_att`, `mlp_att_trained`.
"""

from ml_collections import ConfigDict

from astro_jax import defaults
from astro_jax.data.inputs import CANDIDATES, FEATURES
from astro_jax.errors import UserError, suggest
from astro_jax.models.classifier import Fusion, MlpAtt, Regressor
from astro_jax.models.period_forest import SURE, TREES, PeriodForest
from astro_jax.objectives.classification import noise_and_gaps, regression
from astro_jax.spec import spec

VARIANTS = ("", "period", "mlp_att", "mlp_att_trained")


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant."""
    if variant not in VARIANTS:
        raise UserError(f"regress has no variant '{variant}'{suggest(variant, VARIANTS)}")
    config = defaults.training(
        "astro_jax.regress:run",
        init="base",
        windows=4,  # of a curve at most, evenly spaced, when its number is predicted; 0: all
        eval_every=20,
        patience=10,
        monitor="loss",
        baselines=False,  # also features with a random forest, the periodogram alone, the mean
        inputs={},
    )
    config.data = defaults.training_data("ogle", 2000)
    config.data.target = "log_period"
    config.model = spec(Regressor, encoder={}, head=spec(MlpAtt, classes=1))
    config.objective = spec(regression, augment=spec(noise_and_gaps))
    rules = () if variant.endswith("_trained") else (("^encoder/", None),)
    config.optimizer = defaults.adam(config, rate=1e-3, warmup=20, weight_decay=1e-3, rules=rules)
    if not variant:
        config.model.head = spec(Fusion, classes=1)
        config.inputs = {"features": FEATURES}
    if variant == "period":
        config.init, config.windows = "", 1  # no window is looked at
        head = spec(PeriodForest, classes=1, trees=TREES, sure=SURE)
        config.model = spec(Regressor, encoder=None, head=head)
        config.inputs = {"features": FEATURES, "candidates": CANDIDATES}
        config.optimizer.rules = ()
    return config
