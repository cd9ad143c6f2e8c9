"""SNANA text against the object table made from the same files, and FITS pairs from astropy."""

import gzip

import numpy as np
import pytest

from astro_jax.data.read_transients import read_transients
from astro_jax.data.transients import band_names
from astro_jax.errors import UserError

fits = pytest.importorskip("astropy.io.fits", reason="extra `fits`: astropy")


# Text


def test_real_files_equal_the_object_table(shared):
    """Four original files of YSE DR1 against the rows that others made from them."""
    text, ledger = read_transients(shared / "data/raw_samples/snana_dat")
    assert ledger.read == ledger.kept == (4, 263)
    table, _ = read_transients(shared / "data/transient_yse_dr1.parquet")
    ids = table.columns["id"].to_pylist()
    for k, row in enumerate(text.columns.to_pylist()):
        j = ids.index(row["id"])
        mine, theirs = (slice(*r.offsets[i : i + 2]) for r, i in ((text, k), (table, j)))
        for name in ("time", "flux", "fluxerr"):
            np.testing.assert_allclose(
                getattr(text, name)[mine], getattr(table, name)[theirs], rtol=1e-6
            )
        assert list(band_names(text)[mine]) == list(band_names(table)[theirs])
        expected = table.columns.slice(j, 1).to_pylist()[0]
        for name in ("redshift", "mwebv", "ra", "dec", "peak_mjd"):
            assert row[name] == pytest.approx(expected[name], abs=2e-6)
        assert (row["label"] or "") == expected["label_fine"]
        assert row["redshift_kind"] == expected["redshift_kind"]


SNPCC = """SURVEY: DES
SNID:   17
IAUC:    UNKNOWN
RA:      0.500000  deg
DECL:  -43.000000  deg
MWEBV: 0.0111    MW E(B-V)
REDSHIFT_FINAL:  -9.0000 +- 9.0000 (CMB)
HOST_GALAXY_PHOTO-Z:   0.3502  +- 0.0468
SIM_COMMENT:  SN Type = II , MODEL = NONIA  10
NOBS: 4
NVAR: 5
VARLIST:  MJD  FLT FIELD   FLUXCAL   FLUXCALERR PHOTFLAG
OBS:  56177.172  g NULL   7.6  4.68 0
OBS:  56178.172  r NULL   47.6  4.68 4096
OBS:  56179.172  i NULL   57.6  4.68 6144
OBS:  56176.172  z NULL   -9.6  4.68 0
OBS:  56180.172  z NULL   -9.6
END:
"""


def read_text(tmp_path, text, **choices):
    (tmp_path / "sn.dat").write_text(text)
    return read_transients(tmp_path / "sn.dat", **choices)


def test_simulated_text(tmp_path):
    transients, ledger = read_text(tmp_path, SNPCC)
    assert list(band_names(transients)) == ["desz", "desg", "desr", "desi"]
    np.testing.assert_array_equal(transients.flux, np.float32([-9.6, 7.6, 47.6, 57.6]))
    assert [(r.observations, r.reason) for r in ledger.rows] == [
        (1, "line with the wrong number of values")
    ]
    assert transients.columns.to_pylist() == [
        {
            "id": 17,
            "survey": "DES",
            "label": "SN II",
            "redshift": None,
            "redshift_kind": None,
            "mwebv": 0.0111,
            "ra": 0.5,
            "dec": -43.0,
            "peak_mjd": None,
            "trigger": 56179.172,
        }
    ]


def test_keys_that_the_user_names(tmp_path):
    columns = {"redshift": "HOST_GALAXY_PHOTO-Z", "label": "IAUC"}
    transients, _ = read_text(tmp_path, SNPCC, columns=columns, zero_point=25.0)
    assert transients.scalar("redshift")[0] == 0.3502
    np.testing.assert_allclose(transients.flux[1], 76.0, rtol=1e-6)
    with pytest.raises(UserError, match="no key 'REDSHIFT' for redshift"):
        read_text(tmp_path, SNPCC, columns={"redshift": "REDSHIFT"})


def test_bad_flags_and_unknown_letters(tmp_path):
    flagged = SNPCC.replace("PHOTFLAG", "FLAG").replace("4.68 0\n", "4.68 0x00\n")
    transients, ledger = read_text(tmp_path, flagged)
    assert {r.reason: r.observations for r in ledger.rows} == {
        "flagged as bad by the survey": 2,
        "line with the wrong number of values": 1,
    }
    with pytest.raises(UserError, match=r"sn\.dat, column FLT: unknown band 'w'.*ztfg"):
        read_text(tmp_path, SNPCC.replace(" g NULL", " w NULL"))


@pytest.mark.parametrize("lost", ["VARLIST:", "OBS:"])
def test_text_without_observations_is_named(tmp_path, lost):
    with pytest.raises(UserError, match="nothing usable in .*sn.dat"):
        read_text(tmp_path, SNPCC.replace(lost, "ELSE:"))


# FITS


PHOT = [
    # MJD, BAND, PHOTFLAG, FLUXCAL, FLUXCALERR
    (60001.0, "g ", 0, 2.0, 1.0),
    (60004.0, "r ", 4096, 30.0, 2.0),
    (60002.0, "Y ", 6144, 40.0, 2.0),
    (-777.0, "- ", 0, 0.0, 0.0),
    (60001.0, "u ", 0, -5.0, 1.0),
    (60003.0, "i ", 4096, 60.0, 2.0),
    (-777.0, "- ", 0, 0.0, 0.0),
]


def write_pair(folder, name="ELASTICC_HEAD.FITS", photfile="ELASTICC_PHOT.FITS", last=(3, 6)):
    """Write a pair as the format notes of ELAsTiCC describe it, with astropy."""
    times, bands, flags, flux, error = zip(*PHOT, strict=True)
    phot = fits.BinTableHDU.from_columns(
        [
            fits.Column("MJD", "D", array=times),
            fits.Column("BAND", "2A", array=bands),
            fits.Column("PHOTFLAG", "J", array=flags),
            fits.Column("FLUXCAL", "E", array=flux),
            fits.Column("FLUXCALERR", "E", array=error),
        ]
    )
    head = fits.BinTableHDU.from_columns(
        [
            fits.Column("SNID", "16A", array=["46", "47"]),
            fits.Column("RA", "D", array=[10.0, 20.0]),
            fits.Column("DEC", "D", array=[-50.0, -9.5]),
            fits.Column("NOBS", "J", array=[3, 2]),
            fits.Column("PTROBS_MIN", "J", array=[1, 5]),
            fits.Column("PTROBS_MAX", "J", array=list(last)),
            fits.Column("MWEBV", "E", array=[0.02, 0.03]),
            fits.Column("REDSHIFT_HELIO", "E", array=[0.5, -9.0]),
            fits.Column("HOSTGAL_PHOTOZ", "E", array=[0.45, 0.65]),
            fits.Column("SIM_MODEL_NAME", "32A", array=["SALT3.DES5YR", "NON1ASED.SNII"]),
        ]
    )
    primary = fits.PrimaryHDU()
    primary.header["SURVEY"] = "LSST"
    if photfile:
        primary.header["PHOTFILE"] = photfile
    fits.HDUList([primary, head]).writeto(folder / name)
    fits.HDUList([fits.PrimaryHDU(), phot]).writeto(folder / "ELASTICC_PHOT.FITS")


@pytest.mark.parametrize("photfile", ["ELASTICC_PHOT.FITS", None])
def test_fits_pair(tmp_path, photfile):
    write_pair(tmp_path, photfile=photfile)
    transients, ledger = read_transients(tmp_path)
    assert ledger.read == ledger.kept == (2, 5)
    assert list(band_names(transients)) == ["lsstg", "lssty", "lsstr", "lsstu", "lssti"]
    np.testing.assert_array_equal(transients.time, [60001, 60002, 60004, 60001, 60003])
    np.testing.assert_array_equal(transients.flux, np.float32([2, 40, 30, -5, 60]))
    assert transients.flux.dtype == np.float32 and transients.flux.dtype.isnative
    assert transients.columns["id"].to_pylist() == [46, 47]
    assert transients.columns["redshift"].to_pylist() == [0.5, None]
    assert transients.columns["dec"].to_pylist() == [-50.0, -9.5]
    assert transients.columns["trigger"].to_pylist() == [60002.0, None]
    assert transients.label == ["SALT3.DES5YR", "NON1ASED.SNII"]
    assert "1 values of redshift 0 or below: set to null" in ledger.notes


def test_fits_packed_and_with_named_columns(tmp_path):
    write_pair(tmp_path)
    for path in list(tmp_path.iterdir()):
        (tmp_path / (path.name + ".gz")).write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    columns = {"redshift": "HOSTGAL_PHOTOZ"}
    transients, _ = read_transients(tmp_path / "ELASTICC_HEAD.FITS.gz", columns=columns)
    np.testing.assert_allclose(transients.scalar("redshift"), [0.45, 0.65], rtol=1e-6)
    with pytest.raises(UserError, match="no column 'ZPHOT' for redshift"):
        read_transients(tmp_path, columns={"redshift": "ZPHOT"})


def test_damaged_fits_is_named(tmp_path):
    write_pair(tmp_path, last=(3, 60))
    with pytest.raises(UserError, match="PTROBS_MAX point outside the 7 rows"):
        read_transients(tmp_path)
    (tmp_path / "ELASTICC_PHOT.FITS").unlink()
    with pytest.raises(UserError, match="no PHOT file beside it"):
        read_transients(tmp_path)
    head = tmp_path / "ELASTICC_HEAD.FITS"
    head.write_bytes(head.read_bytes()[:3000])
    with pytest.raises(UserError, match="nothing usable in .*broken FITS file"):
        read_transients(tmp_path)
