"""Real objects without any real label: the released networks, bands right and swapped, and ours."""

from typing import Any

import numpy as np
from common import FIVE, OFFICIAL, SHARED, base, write
from ml_collections import ConfigDict

import astro_jax
from astro_jax.data.ledger import opening
from astro_jax.data.read_transients import read_transients
from astro_jax.data.transients import Transients, cut_snr, keep_bands
from astro_jax.evals.auroc import aurocs, summary
from astro_jax.transient_prediction import network_rows, predict_transients


def real_objects() -> dict[str, Transients]:
    """Return real ZTF photometry in g and r, S/N above 4 for every source.

    In `ztf_public` class and source are confounded; the mixed set adds SNII and SNIb/c of YSE and
    takes 250 of the SNIa, as in the measurement that it is compared with.
    """
    sets = {}
    for name in ("ztf_public", "yse_dr1"):
        transients, ledger = read_transients(str(SHARED / "data" / f"transient_{name}.parquet"))
        transients, ledger = cut_snr(transients, ledger, 4.0)
        transients, _ = keep_bands(transients, ledger, ("ztfg", "ztfr"))
        good = np.array([label in FIVE for label in transients.label])
        rows, place, _ = seen(transients.take(good))
        sets[name] = transients.take(good).take(place)
    public, yse = sets["ztf_public"], sets["yse_dr1"]
    few = np.flatnonzero(np.array(public.label) == "SNIa")[::6][:250]
    rest = np.flatnonzero(np.array(public.label) != "SNIa")
    return {
        "ztf_public (class and source confounded)": [public],
        "mixed": [public.take(np.concatenate([few, rest])), yse],
        "yse_dr1": [yse],
    }


def seen(transients: Transients) -> tuple:
    """Return what the released network can see, which all are compared on."""
    released = astro_jax.load(OFFICIAL)
    return network_rows(released, transients, opening(len(transients), len(transients.time)))


def zero_shot() -> None:
    """Classify real objects by networks that saw no real label; write zero_shot.json."""
    networks = {name: astro_jax.load(base(name)) for name in ("ztf", "surveys")}
    for network in ("host", "nohost", "nohost_new"):
        found = astro_jax.load(OFFICIAL, network=network)
        true = ConfigDict(found.config.to_dict())
        true.rows.wavelengths = "effective"
        networks[f"official {network}, bands swapped as trained"] = found
        networks[f"official {network}, true bands"] = found._replace(config=true)
    told: dict[str, Any] = {}
    for name, parts in real_objects().items():
        labels = np.concatenate([[FIVE.index(x) for x in part.label] for part in parts])
        told[name] = {}
        for network, found in networks.items():
            said = np.concatenate([five_classes(found, part) for part in parts])
            told[name][network] = summary(aurocs(said, labels, FIVE))
            print(name, network, round(told[name][network]["macro_auroc"], 3), flush=True)
    write("zero_shot", told)


def five_classes(found: astro_jax.Run, transients: Transients) -> np.ndarray:
    """Return the probabilities of the five types, [N, 5]; what else is known is left out."""
    said = predict_transients(found, transients)
    five = said.type_probabilities[:, [said.types.index(name) for name in FIVE]]
    return five / np.maximum(five.sum(1, keepdims=True), 1e-12)
