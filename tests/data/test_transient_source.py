"""From the config to transients: several surveys, types, bands, metadata taken out."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from astro_jax import defaults
from astro_jax.data.source import announce
from astro_jax.data.transient_source import load_transients, with_types, without_metadata
from astro_jax.errors import UserError


def config(**data):
    found = ConfigDict({"seed": 2, "data": defaults.transients(("ztf",), 24)})
    simulated = data.pop("simulate", {})
    found.data.update(data)
    with found.ignore_type():
        found.data.simulate.update(simulated)
    return found


def test_several_surveys_are_simulated_alike():
    given = config(simulate={"surveys": ("ztf", "yse", "lsst"), "transients": 30})
    transients, ledger = load_transients(given)
    names = transients.columns["survey"].to_pylist()
    assert [names.count(n) for n in ("ztf", "yse", "lsst")] == [10, 10, 10]
    assert len(set(transients.columns["id"].to_pylist())) == 30 == ledger.kept.objects
    assert announce(given) == (
        "No config.data.path: simulating 30 transients, ZTF, YSE, LSST-like (seed 2)"
    )
    again, _ = load_transients(config(simulate={"surveys": "ztf,yse,lsst", "transients": 30}))
    np.testing.assert_array_equal(again.flux, transients.flux)


def test_only_the_classes_that_are_asked_for():
    transients, _ = load_transients(config(simulate={"classes": ("SNIb", "TDE")}))
    assert set(transients.label) == {"SNIb", "TDE"}


def test_types_and_bands_and_alerts():
    whole, _ = load_transients(config())
    cut, ledger = load_transients(config(simulate={"types": True}, band="ztfr", snr=4.0))
    assert set(cut.label) <= {"AGN", "SLSN-I", "SNII", "SNIa", "SNIb/c", "TDE"}
    assert (cut.snr > 4).all() and len(cut.time) < len(whole.time) / 2
    assert {d.reason for d in ledger.drops} == {"band is not ztfr", "S/N not above 4"}


def test_types_keep_what_is_no_label():
    transients, _ = load_transients(config())
    columns = transients.columns.set_column(
        transients.columns.column_names.index("label"), "label", [["", None, "SNIIn"] * 8]
    )
    assert with_types(transients.with_columns(columns)).label == [None, None, "SNII"] * 8


def test_metadata_taken_out():
    transients, _ = load_transients(config())
    blind = without_metadata(transients, ["redshift", "nothing"])
    assert np.isnan(blind.scalar("redshift")).all() and len(blind) == 24
    assert (
        np.isfinite(blind.scalar("mwebv")).all()
        and np.isfinite(transients.scalar("redshift")).all()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"simulate": {"surveys": ()}}, "surveys is empty"),
        ({"simulate": {"surveys": ("ztff",)}}, "unknown survey 'ztff'"),
        ({"simulate": {"classes": ("SNIz",)}}, "no class 'SNIz'"),
        ({"band": "ztfx"}, "unknown band 'ztfx'"),
        ({"path": "nowhere.parquet"}, "nowhere.parquet"),
    ],
)
def test_refused(change, message):
    with pytest.raises(UserError, match=message):
        load_transients(config(**change))
