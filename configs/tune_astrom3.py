"""Search the hyper-parameters of AstroM3 with Optuna (extra `tune`), as its authors did.

    python -m astro_jax.main --config=configs/tune_astrom3.py:photo_sub10 --workdir=runs/tune
    python -m astro_jax.main --config=configs/tune_astrom3.py:meta_clip --config.init=runs/clip

Variants: `clip` (the space), or any of `classify_astrom3.py`.  Every trial is a training in a
folder of its own; `best.json` names the keys to set.  Limits, number of trials, sampler and
criterion (validation loss) are the published ones: 100 trials take 100 trainings.
"""

from ml_collections import ConfigDict

from astro_jax import defaults

TOWERS = ("photometry", "photometry_g", "spectrum", "metadata")


def get_config(variant: str = "clip") -> ConfigDict:
    """Return the config of a variant."""
    name = "pretrain_astrom3" if variant == "clip" else f"classify_astrom3:{variant}"
    fit = defaults.config_beside(__file__, name)
    config = ConfigDict(
        {
            "job": "astro_jax.tune:run",
            "seed": 42,  # of the split, the trainings and the sampler
            "init": "",  # a space to start from
            "trials": 100,
            "space": (
                ("optimizer.schedule.rate", 1e-5, 1e-2, "log"),
                ("optimizer.b1", 0.7, 0.99, "linear"),
                ("optimizer.l2", 1e-5, 1e-1, "log"),
                ("plateau.factor", 0.1, 1.0, "linear"),
                *((key, 0.0, 0.4, "linear") for key in dropouts(fit.model)),
            ),
            "data": fit.data,
        }
    )
    for key in ("data", "seed", "init"):
        del fit[key]
    config.fit = fit
    return config


def dropouts(model: ConfigDict) -> list[str]:
    """Return the keys of the dropouts of a model: of its tower, or of all of them."""
    if "modality" in model:
        return ["model.encoder.dropout"]
    at = "model.encoder.towers" if "encoder" in model else "model.towers"
    towers = model.get("encoder", model).towers
    return [f"{at}.{tower}.dropout" for tower in TOWERS if tower in towers]
