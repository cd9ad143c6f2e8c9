"""What the configs on several modalities share: the published hyper-parameters and the data."""

from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from astro_jax import defaults
from astro_jax.data.astrom3_settings import BATCH_SIZE, PATIENCE, PLATEAU, WARMUP_EPOCHS, settings
from astro_jax.data.multimodal_rules import WAVELENGTHS
from astro_jax.models.astrom3 import (
    GalSpecNet,
    Informer,
    Metadata,
    OfficialInformer,
    OfficialMetadata,
)
from astro_jax.optim import warmup_by_epoch
from astro_jax.spec import spec


def training(job: str, mode: str, subset: str, clip: bool) -> ConfigDict:
    """Return the keys of a training with a published set (see `data.astrom3_settings`).

    What counts in epochs becomes steps when the size of the data is known (`steps`, `eval_every`:
    0): the warm-up, evaluations, the patience and the plateau go by the epoch.
    """
    found = settings(mode, subset, clip)
    config = defaults.training(
        job,
        seed=42,  # of the split as well; the published seeds are 42, 0, 66, 12 and 123
        steps=0,  # 0: epochs
        epochs=found.epochs,
        batch_size=BATCH_SIZE,  # at most the training objects
        eval_every=0,  # steps; 0: every epoch
        patience=PATIENCE,
    )
    del config.eval_windows
    config.plateau = {"factor": found.factor, "patience": PLATEAU, "after": 0}
    schedule = spec(warmup_by_epoch, rate=found.rate, every=0, epochs=WARMUP_EPOCHS)
    config.optimizer = {
        "b1": found.b1,
        "b2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "l2": found.l2,
        "clip": found.clip,
        "rules": (),
        "schedule": schedule,
    }
    return config


def towers(
    mode: str, subset: str, clip: bool, official: bool, bands: Sequence[str] = ("V",)
) -> dict[str, Any]:
    """Return the specs of the towers with the published dropouts, one of photometry a band.

    The first band is `photometry`, a further one such as g `photometry_g`.
    """
    found = settings(mode, subset, clip)
    photometry, metadata = (
        (OfficialInformer, OfficialMetadata) if official else (Informer, Metadata)
    )
    sizes = {"width": 128, "heads": 4, "ffn": 512, "blocks": 8}
    names = ("photometry", *(f"photometry_{band}" for band in bands[1:]))
    return {
        **{name: spec(photometry, **sizes, dropout=found.photometry) for name in names},
        "spectrum": spec(GalSpecNet, channels=(64, 64, 32, 32), dropout=found.spectrum),
        "metadata": spec(metadata, width=512, dropout=found.metadata),
    }


def data(official: bool, bands: Sequence[str] = ("V",)) -> ConfigDict:
    """Return where the objects come from; bands: of the light curves where they are simulated."""
    return ConfigDict(
        {
            "path": "",  # a file or a folder of the published layout; empty, and no raw parts:
            "curves": "",  # simulate. Raw parts, joined by id: light curves of any survey,
            "spectra": "",  # FITS or Parquet,
            "catalogue": "",  # Parquet or CSV with the columns of multimodal_rules.METADATA
            "catalogue_id": "id",  # its column with the id of the source, such as source_id
            "spectra_link": "",  # its column with the name of the spectrum, where that is another
            "band": "",  # of the light curves, such as V; V,g for a model of both bands
            "label": "label",  # a column of catalogue, light curves or spectra
            "rules": "official" if official else "full",  # see data.multimodal_rules
            "padding": "zero",  # or tile_aux: the first released loader
            "wavelengths": WAVELENGTHS,  # Angstrom: first, end, step
            "any_spectrum": False,  # draw one of several spectra at each step
            "classes": (),  # names by number, where a file has none
            "top": 0,  # the commonest classes, others are left out; 0: all. The paper has 10
            "required": ("photometry", "spectrum", "metadata"),  # others are left out
            "workers": 0,
            # as many as were published: 95 s of a core and 3 GB to draw; give 500 on a laptop
            "simulate": {"stars": 21_440, "spectra": 1.0, "bands": tuple(bands)},
        }
    )
