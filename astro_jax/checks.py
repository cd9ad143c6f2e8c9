"""What a training config must satisfy, said before any data are read."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from astro_jax.errors import UserError, suggest
from astro_jax.nn.attention import KINDS
from astro_jax.objectives.reconstruction import LOSSES
from astro_jax.parallel import MODES
from astro_jax.spec import resolve

# Smallest value of a number; for fractions the largest is 1.
LEAST = {
    "seed": 0,
    "steps": 1,
    "per_class": 0,
    "unlabelled": 0,
    "windows": 0,
    "batch_size": 1,
    "window": 2,
    "micro_batch": 0,
    "steps_at_once": 0,
    "log_every": 1,
    "eval_every": 1,
    "eval_windows": 0,
    "checkpoint_seconds": 0,
    "patience": 0,
    "least": 0,
    "labels": 0,
    "epochs": 0,
    "eval_epochs": 0,
    "min_valid": 0,
    "data.workers": 0,
    "data.min_points": 0,
    "data.min_class": 1,
    "data.snr": 0,
    "data.simulate.stars": 1,
    "data.simulate.transients": 1,
    "model.width": 2,
    "model.heads": 1,
    "model.ffn": 1,
    "model.blocks": 1,
    "model.head.trees": 1,
}
LARGEST_SEED = 2**32 - 1
FRACTIONS = (
    "objective.probed",
    "objective.random",
    "objective.same",
    "data.test",
    "data.valid",
    "cut",
)
CHOICES = {
    "mode": MODES,
    "resident": ("auto", "yes", "no"),
    "dtype": ("float32", "bfloat16"),
    "attention": KINDS,
    "objective.loss": tuple(LOSSES),
    "data.noise_cut": ("", "all", "any"),
}


def check_choices(config: ConfigDict) -> None:
    """Raise UserError for the first word of a config that is none of those to choose from."""
    for key, known in CHOICES.items():
        value = _at(config, key)
        if value is not None and value not in known:
            raise UserError(f"config.{key} '{value}' is unknown{suggest(value, known)}")


def check_training(config: ConfigDict) -> None:
    """Raise UserError for the first value of a training config that cannot be."""
    check_numbers(config)
    check_choices(config)
    _check_monitor(config)
    split = _at(config, "data.split")
    if split is not None and not _shares(split):
        raise UserError(
            f"config.data.split={tuple(split)} must be the shares to train and to validate on, "
            "such as (0.6, 0.2)"
        )
    width, heads = _at(config, "model.width"), _at(config, "model.heads")
    if width and (width % (heads or 1) or width % 2):
        raise UserError(f"config.model.width={width} must be even and a multiple of {heads} heads")


def check_numbers(config: Mapping) -> None:
    """Raise UserError for the first number of a config that is out of its range."""
    for key, least in LEAST.items():
        value = _at(config, key)
        if value is not None and value < least:
            raise UserError(f"config.{key}={value} must be at least {least}")
    seed = _at(config, "seed")
    if seed is not None and seed > LARGEST_SEED:
        raise UserError(f"config.seed={seed} must be at most {LARGEST_SEED}")
    for key in FRACTIONS:
        value = _at(config, key)
        if value is not None and not 0 <= value <= 1:
            raise UserError(f"config.{key}={value} must lie between 0 and 1")


def check_head(config: ConfigDict) -> None:
    """Raise UserError for a config of a head on curves that cannot be: see `check_training`.

    An encoder that the config describes is drawn from the seed; one of `config.init` is not.
    """
    check_training(config)
    if _at(config, "model.encoder") and _at(config, "init"):
        raise UserError(
            f"config.init={config.init}: this config has an encoder of its own, drawn from the "
            "seed; leave --config.init out"
        )


def _check_monitor(config: ConfigDict) -> None:
    """Refuse a metric that the objective does not give; its module lists them."""
    target, name = _at(config, "objective.target"), _at(config, "monitor")
    if target is None or name is None:
        return
    function = resolve(target)
    known = vars(sys.modules[function.__module__])["MONITORS"][function.__name__]
    if name not in known:
        raise UserError(f"config.monitor '{name}' is unknown{suggest(name, known)}")


def _shares(split: Sequence) -> bool:
    numbers = all(isinstance(share, int | float) and share >= 0 for share in split)
    return numbers and len(split) == 2 and sum(split) <= 1 + 1e-9


def _at(config: Mapping, key: str) -> Any:
    """Return the value at "a.b.c", None where the config has no such key."""
    value: Any = config
    for name in key.split("."):
        if not isinstance(value, Mapping | ConfigDict) or name not in value:
            return None
        value = value[name]
    return value
