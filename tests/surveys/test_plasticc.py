"""PLAsTiCC CSV, and CSV with the columns of ELAsTiCC, in files of the documented layout."""

import csv
import gzip

import numpy as np
import pytest

from astro_jax.data.read_transients import read_transients
from astro_jax.data.transients import band_names
from astro_jax.errors import UserError

LIGHT = [
    ("object_id", "mjd", "passband", "flux", "flux_err", "detected_bool"),
    (615, 59750.4229, 2, -544.810303, 3.622952, 1),
    (615, 59750.4306, 1, -816.434326, 5.553370, 1),
    (713, 59825.2600, 0, 2.4, 3.1, 0),
    (713, 59825.2601, 5, 21.4, 3.1, 1),
]
META = [
    ("object_id", "ra", "decl", "ddf_bool", "hostgal_specz", "hostgal_photoz", "mwebv", "target"),
    (713, 53.1, -27.8, 1, 1.8181, 1.6267, 0.007, 90),
    (615, 349.0, -61.9, 1, 0.0, 0.0, 0.017, 99),
    (999, 1.0, 2.0, 0, 0.1, 0.2, 0.3, 42),
]


def write(path, rows):
    with open(path, "w", newline="") as out:
        csv.writer(out).writerows(rows)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "plasticc_train_lightcurves.csv", LIGHT)
    write(tmp_path / "plasticc_train_metadata.csv", META)
    return tmp_path


def check_light(transients):
    assert transients.columns["id"].to_pylist() == [615, 713]
    assert list(band_names(transients)) == ["lsstr", "lsstg", "lsstu", "lssty"]
    np.testing.assert_array_equal(
        transients.flux, np.float32([-544.810303, -816.434326, 2.4, 21.4])
    )


def test_light_curves_with_metadata(folder):
    transients, ledger = read_transients(folder)
    check_light(transients)
    assert ledger.read == ledger.kept == (2, 4)
    assert transients.label == ["99", "SNIa"]
    np.testing.assert_array_equal(transients.scalar("redshift"), [np.nan, 1.6267])
    np.testing.assert_array_equal(transients.scalar("mwebv"), [0.017, 0.007])
    assert transients.scalar("dec").tolist() == [-61.9, -27.8]


def test_the_redshift_that_the_user_names(folder):
    columns = {"redshift": "hostgal_specz"}
    transients, _ = read_transients(folder / "plasticc_train_lightcurves.csv", columns=columns)
    np.testing.assert_array_equal(transients.scalar("redshift"), [np.nan, 1.8181])
    with pytest.raises(UserError, match="no column 'zspec' for redshift"):
        read_transients(folder, columns={"redshift": "zspec"})


def test_names_of_the_challenge_and_packed_files(tmp_path):
    """`training_set.csv` with `training_set_metadata.csv`; numbered test files share theirs."""
    write(tmp_path / "training_set.csv", LIGHT)
    write(tmp_path / "training_set_metadata.csv", META)
    assert read_transients(tmp_path)[0].label == ["99", "SNIa"]
    other = tmp_path / "test"
    other.mkdir()
    for old, new in [
        ("training_set.csv", "plasticc_test_lightcurves_01.csv.gz"),
        ("training_set_metadata.csv", "plasticc_test_metadata.csv.gz"),
    ]:
        (other / new).write_bytes(gzip.compress((tmp_path / old).read_bytes()))
    assert read_transients(other)[0].label == ["99", "SNIa"]


def test_light_curves_alone(tmp_path):
    write(tmp_path / "some.csv", LIGHT)
    transients, _ = read_transients(tmp_path)
    check_light(transients)
    assert transients.label == [None, None]


def test_metadata_of_another_object_are_null(folder):
    write(folder / "plasticc_train_metadata.csv", META[:2])
    transients, _ = read_transients(folder)
    assert transients.label == [None, "SNIa"]
    assert np.isnan(transients.scalar("redshift")[0])


def test_elasticc_columns(tmp_path):
    rows = [
        ("SNID", "MJD", "BAND", "FLUXCAL", "FLUXCALERR", "PHOTFLAG", "REDSHIFT_HELIO"),
        (7, 60001.5, "g", 10.0, 1.0, 0, 0.25),
        (7, 60003.5, "Y", 12.0, 1.0, 6144, 0.25),
        (7, 60002.5, "r", 11.0, 1.0, 4096, 0.25),
    ]
    write(tmp_path / "elasticc.csv", rows)
    for survey in ("elasticc", None):  # the format knows it
        transients, ledger = read_transients(tmp_path, survey=survey)
        assert list(band_names(transients)) == ["lsstg", "lsstr", "lssty"]
        assert any("are those of LSST" in note for note in ledger.notes) == (survey is None)
    with pytest.raises(UserError, match="unknown band 'Y'"):
        read_transients(tmp_path, survey="des")
    assert transients.scalar("trigger")[0] == 60003.5
    assert transients.scalar("redshift")[0] == 0.25
    assert transients.columns["id"].to_pylist() == [7]
