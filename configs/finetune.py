"""Fine-tune a pre-trained encoder on another survey, without its labels.

    python -m astro_jax.main --config=configs/finetune.py --config.init=base \
        --config.data.path=asas.parquet --workdir=runs/ft

The model is that of `config.init`. With `config.per_class=20` the encoder sees only the curves
that `configs/classify.py` trains and validates on with the same `per_class`, `seed` and `data`
(scenarios a and b of the paper); without, all but the held-out fifth (scenario c).
Variant `official`: the official weights as they were trained, hidden magnitudes left in.
"""

from ml_collections import ConfigDict

from astro_jax import defaults
from astro_jax.errors import UserError, suggest
from astro_jax.objectives.reconstruction import reconstruction
from astro_jax.spec import spec

VARIANTS = ("", "official")


def get_config(variant: str = "") -> ConfigDict:
    """Return the config."""
    if variant not in VARIANTS:
        raise UserError(f"finetune has no variant '{variant}'{suggest(variant, VARIANTS)}")
    leaky = variant == "official"
    config = defaults.training(
        "astro_jax.pretrain:run",
        init="base",
        per_class=0,
        steps=400,
        eval_every=20,
        patience=10,
        monitor="rmse" if leaky else "rmse_hidden",
    )
    config.data = defaults.labels(defaults.training_data("ogle", 2000))
    config.data.split = (0.6, 0.2)
    config.model = {}  # that of config.init
    config.objective = spec(
        reconstruction, probed=0.5, random=0.2, same=0.2, leaky=leaky, loss="window_mean"
    )
    config.optimizer = defaults.adam(config, rate=3e-4, warmup=20)
    return config
