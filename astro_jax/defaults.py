"""What configs share: the keys of a training, of its data and of its optimiser, with defaults."""

import importlib.util
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from astro_jax.optim import warmup_cosine
from astro_jax.spec import spec


def training(job: str, **changes: Any) -> ConfigDict:
    """Return the keys that every training config has."""
    return ConfigDict(
        {
            "job": job,
            "seed": 0,
            "steps": 600,
            "batch_size": 64,
            "window": 200,  # observations a window, as in the ASTROMER paper
            "init": "",  # a run folder, official weights, or the name of shipped weights
            "dry_run": False,
            "mode": "jit",  # jit, pmap, sharded
            "multihost": "",  # local/N, auto, slurm, ompi, mpi4py, HOST:PORT/i/N
            "micro_batch": 0,  # rows at once in a device; 0: 16 on CPU (GRU: 128), all elsewhere
            "dtype": "float32",  # of activations; bfloat16 on an accelerator
            "attention": "einsum",  # or fused, cudnn (bfloat16 on an NVIDIA GPU)
            "resident": "auto",  # data on the device: yes, no, auto (no CPU, and they fit)
            "steps_at_once": 0,  # with data on the device; 0: up to 20, as the stops allow
            "log_every": 10,
            "eval_every": 40,
            "eval_windows": 256,  # evenly spaced over the validation windows; 0 = all
            "checkpoint_seconds": 15.0,
            "patience": 0,  # evaluations without a better value before stopping; 0 = never
            **changes,
        }
    )


def source(survey: str = "macho", stars: int = 1000) -> ConfigDict:
    """Return where curves are read from, or which survey is simulated where there is no path."""
    return ConfigDict(
        {
            "path": "",  # a file, a glob or a folder; empty: simulate
            "format": "",  # empty: recognise each file
            "time_format": "",
            "band": "",  # empty: all bands of the file
            "fields": (),  # MACHO fields; empty: all
            "columns": {"id": "", "time": "", "mag": "", "magerr": "", "band": "", "star": ""},
            "simulate": {"survey": survey, "stars": stars},
        }
    )


def training_data(survey: str = "macho", stars: int = 1000) -> ConfigDict:
    """Return `source`, and which of the curves are trained on."""
    data = source(survey, stars)
    data.noise_cut = ""  # the paper's cut: "all" (literal), "any", or none
    data.min_points = 5
    data.workers = 0  # processes that prepare batches; 0 = threads
    return data


def labels(data: ConfigDict) -> ConfigDict:
    """Return the data keys with those that choose classes."""
    data.label = "label"  # the column
    data.label_map = ""  # "macho", "ogle3", "atlas": classes of the paper; "types", "subtypes"
    data.min_class = 40  # objects, below which a class is left out
    data.without = ()  # classes to leave out
    return data


def adam(config: ConfigDict, rate: float, warmup: int, **changes: Any) -> ConfigDict:
    """Return Adam as ASTROMER has it, clipped, with a cosine schedule over `config.steps`."""
    schedule = spec(warmup_cosine, rate=rate, warmup=warmup)
    schedule.steps = config.get_ref("steps")
    optimizer = {"b1": 0.9, "b2": 0.98, "eps": 1e-9, "weight_decay": 0.0, "clip": 1.0, "rules": ()}
    optimizer = ConfigDict({**optimizer, **changes})
    optimizer.schedule = schedule
    return optimizer


def transients(surveys: tuple[str, ...] = ("ztf",), count: int = 6000) -> ConfigDict:
    """Return where transients are read from, which are simulated else, and which are learned."""
    columns = "id time band flux fluxerr mag magerr star label redshift mwebv trigger"
    return ConfigDict(
        {
            "path": "",  # a file, a glob or a folder; empty: simulate
            "format": "",  # empty: recognise each file
            "time_format": "",
            "survey": "",  # whose letters the bands are; empty: as the file says
            "zero_point": 0.0,  # AB magnitude of flux 1; 0: that of the file, or 27.5
            "band": "",  # empty: all bands of the file
            "snr": 0.0,  # points must be above it; 0: forced photometry as it is
            "columns": dict.fromkeys(columns.split(), ""),
            "label": "label",  # the column
            "min_class": 10,  # objects with a trigger, below which a class is left out
            "without": (),  # classes to leave out
            "test": 0.3,  # share of the objects to test on: the same for every seed and number
            "valid": 0.1,  # share of the labels to validate with
            "workers": 0,
            "simulate": {
                "surveys": surveys,
                "transients": count,
                "classes": (),  # empty: the twelve
                "types": False,  # label them by type (SNII), not by sub-type (SNIIn)
            },
        }
    )


def config_beside(path: str, name: str) -> ConfigDict:
    """Return the config "train_ztf:yse" and the like from the folder of another config's file."""
    stem, _, variant = name.partition(":")
    where = Path(path).with_name(f"{stem}.py")
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(stem, where))
    module.__spec__.loader.exec_module(module)
    return module.get_config(variant)
