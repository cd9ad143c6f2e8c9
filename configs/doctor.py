"""Look at a survey before anyone trains on it: what is odd, what would be lost, how far it lies.

    python -m astro_jax.main --config=configs/doctor.py --config.data.path=survey.parquet
    python -m astro_jax.main --config=configs/doctor.py --config.data.path=survey.parquet \
        --config.init=runs/macho --workdir=runs/doctor

Prints findings, a reader config to go on with, and writes one page. Bad data are findings, never a
failure. With `init` it says how far the data lie from what that run was trained on.
"""

from ml_collections import ConfigDict

from astro_jax import defaults, defaults_objects


def get_config() -> ConfigDict:
    """Return the config; an empty text means: find out."""
    config = ConfigDict(
        {
            "job": "astro_jax.doctor:run",
            "seed": 0,
            "init": "",  # a run to compare with
            "step": "best",  # of a run folder: best or last
            "kind": "",  # curves, transients or objects
            "window": 200,  # observations the model would see at once, where there is no run
            "min_points": 5,  # observations, below which training leaves a curve out
            "most": 20_000,  # objects that are compared with the run, drawn by the seed
            "output": "",  # the page; empty: doctor.html in the workdir
        }
    )
    # what a reader of any kind of data takes
    config.data = defaults_objects.data(official=False)
    config.data.update(defaults.transients())
    config.data.fields = ()
    config.data.required = ()
    return config
