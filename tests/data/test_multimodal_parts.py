"""Objects from raw light curves, spectra and a catalogue; spectra of LAMOST, SDSS and MILES."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astro_jax.data.curves import from_arrays
from astro_jax.data.ledger import Quarantined, opening
from astro_jax.data.multimodal_catalogue import read_catalogue
from astro_jax.data.multimodal_parts import assemble
from astro_jax.data.multimodal_rules import METADATA, wavelength_grid
from astro_jax.errors import UserError
from astro_jax.surveys.spectra import RawSpectra, linked, read_spectra, to_vacuum

COARSE = (3850.0, 9000.0, 10.0)


def light_curves(ids=("a", "b", "c", "flat"), period=0.63, points=120):
    rng = np.random.default_rng(0)
    curves = []
    for name in ids:
        time = 57_000 + np.sort(rng.uniform(0, 200, points))
        swing = 0.0 if name == "flat" else 0.4
        noise = 0.01 * rng.standard_normal(points) * (name != "flat")
        mag = 13 + swing * np.sin(2 * np.pi * time / period) + noise
        curves.append(np.stack([time, mag, np.full(points, 0.01)], axis=1))
    return from_arrays(curves, ids=list(ids), kind=[f"{name}?" for name in ids])


def raw_spectra(ids=("a", "c", "a", "x"), snr=(5.0, 9.0, 50.0, 3.0), low=3700.0):
    rng = np.random.default_rng(1)
    wave = np.arange(low, 9100.0, 3.0)
    flux = 10 + rng.standard_normal((len(ids), len(wave)))
    offsets = np.arange(len(ids) + 1) * len(wave)
    types = list("ABCD"[: len(ids)])
    told = {"id": list(ids), "snr": list(snr), "sptype": types}
    columns = pa.table({**told, "file": [f"{k}.fits" for k in range(len(ids))]})
    return RawSpectra(np.tile(wave, len(ids)), flux.ravel(), np.ones(flux.size), offsets, columns)


def catalogue(ids=("a", "b", "z"), **columns):
    rng = np.random.default_rng(2)
    table = {name: rng.uniform(1, 9, len(ids)) for name in METADATA}
    return pa.table({"id": list(ids), **table, **columns})


def by_id(objects, values):
    return dict(zip(objects.columns["id"].to_pylist(), np.asarray(values), strict=True))


def test_parts_are_joined_by_id():
    curves = light_curves()
    objects, ledger = assemble(
        curves, raw_spectra(), catalogue(), wavelengths=COARSE, label="kind",
        files={"curves": "c.parquet", "catalogue": "z.csv"},
    )  # fmt: skip
    assert objects.columns["id"].to_pylist() == ["a", "b", "c", "flat", "x"]
    assert objects.columns["label"].to_pylist() == ["a?", "b?", "c?", "flat?", None]
    present = {name: by_id(objects, there) for name, there in objects.present.items()}
    assert present["photometry"] == {"a": True, "b": True, "c": True, "flat": False, "x": False}
    assert present["spectrum"] == {"a": True, "b": False, "c": True, "flat": False, "x": True}
    assert present["metadata"] == {"a": True, "b": True, "c": False, "flat": False, "x": False}
    assert ledger.read.objects == 6 and ledger.kept.objects == len(objects) == 5
    flat, unjoined = ledger.rows
    assert flat[:5] == ("c.parquet", "flat", "", 0, 120) and "constant" in flat.reason
    assert unjoined[:5] == ("z.csv", "z", "", 1, 0) and "neither light curve" in unjoined.reason
    assert ledger.read.observations == 480 == ledger.kept.observations + 120
    assert ledger.notes == (
        "curves: 4 rows read, 3 used, 1 quarantined",
        "spectra: 4 rows read, 4 used",
        "catalogue: 3 rows read, 2 used, 1 quarantined",
        "3 of 5 objects are not in the catalogue: c, flat, x",
    )


def test_the_best_spectrum_stands_first():
    objects, _ = assemble(None, raw_spectra(), None, wavelengths=COARSE, label="sptype")
    part = objects.parts["spectrum"]
    assert part.lengths.tolist() == [2, 1, 1]
    alone, _ = assemble(None, raw_spectra(ids=("a",), snr=(1.0,)), None, wavelengths=COARSE)
    np.testing.assert_array_equal(part.values[1], alone.parts["spectrum"].values[0])


def test_what_no_catalogue_has_is_computed_from_the_curve():
    objects, _ = assemble(light_curves(), None, None)
    part = objects.parts["photometry"]
    np.testing.assert_allclose(10 ** part.constants("log_period")[:3], 0.63, rtol=0.002)
    np.testing.assert_allclose(part.constants("amplitude")[:3], 0.8, atol=0.05)
    assert (part.constants("lksl")[:3] < 0.02).all()
    assert (part.constants("peak_to_peak")[:3] > 2).all()


def test_what_the_catalogue_has_is_taken():
    known = {"amplitude": [0.5, np.nan, 1.0], "period": [0.315, np.nan, 1.0]}
    objects, _ = assemble(light_curves(), None, catalogue(**known))
    part = objects.parts["photometry"]
    np.testing.assert_allclose(10 ** part.constants("log_period")[:2], [0.315, 0.63], rtol=0.002)
    np.testing.assert_allclose(part.constants("amplitude")[:2], [0.5, 0.8], atol=0.05)
    assert part.constants("lksl")[0] > 0.5 > part.constants("lksl")[1]  # folded by what is told


def test_the_released_rules_need_the_released_columns():
    with pytest.raises(UserError, match="rfr_score.*rules=full"):
        assemble(light_curves(), None, catalogue(), rules="official")
    objects, _ = assemble(light_curves(), None, catalogue(rfr_score=[0.9, 0.8, 0.7]), "official")
    np.testing.assert_allclose(objects.parts["photometry"].constants("rfr_score")[:2], [0.9, 0.8])


def test_a_column_that_is_not_there_is_unknown():
    few = catalogue().drop_columns(["ruwe", "w4_mag"])
    objects, ledger = assemble(light_curves(), None, few)
    assert "2 of 34 catalogue columns have no value: w4_mag, ruwe" in ledger.notes
    part = objects.parts["metadata"]
    assert not part.mask[:, METADATA.index("ruwe")].any() and part.mask[0].sum() == 32


def test_spectra_that_do_not_reach_the_grid_are_told():
    objects, ledger = assemble(light_curves(), raw_spectra(low=9050.0), None, wavelengths=COARSE)
    assert not objects.present["spectrum"].any()
    rows = ledger.rows[1:]  # the first is the constant light curve
    assert [row.object for row in rows] == ["a", "c", "a", "x"]
    assert [row.file for row in rows] == [f"{k}.fits" for k in range(4)]
    reason = "spectrum does not reach the grid, 3850 to 8990 Angstrom"
    assert {row.reason for row in rows} == {reason}


def test_spectra_without_a_pixel_are_told():
    raw = raw_spectra()
    part = [slice(a, b) for a, b in zip(raw.offsets[:-1], raw.offsets[1:], strict=True)]
    raw.flux[part[0]], raw.ivar[part[3]] = 7.0, 0.0
    objects, ledger = assemble(None, raw, None, wavelengths=COARSE)
    assert objects.parts["spectrum"].lengths.tolist() == [1, 1, 0]
    assert [(row.file, row.object, row.reason) for row in ledger.rows] == [
        ("0.fits", "a", "constant spectrum: the median absolute deviation is 0"),
        ("3.fits", "x", "spectrum without inverse variances above 0 on the grid"),
    ]
    assert ledger.notes == ("spectra: 4 rows read, 2 used, 2 quarantined",)


def test_choices_that_are_missing_are_named():
    with pytest.raises(UserError, match="choose config.data.band"):
        assemble(light_curves(ids=("a", "a")), None, None)
    with pytest.raises(UserError, match="nothing to assemble"):
        assemble(None, None, None)


def test_a_catalogue_alone_is_enough():
    table = catalogue()
    objects, ledger = assemble(None, None, table)
    assert set(objects.parts) == {"metadata"} and len(objects) == table.num_rows
    assert ledger.read.objects == ledger.kept.objects == table.num_rows


def test_a_catalogue_keeps_the_last_row_of_an_id(tmp_path):
    table = pa.table({"id": [5, 6, 5, None], "ruwe": [1.0, 2.0, 3.0, 4.0]})
    for name in ("x.parquet", "x.csv"):
        path = tmp_path / name
        if name.endswith("csv"):
            from pyarrow import csv

            csv.write_csv(table.slice(0, 3), path)
        else:
            pq.write_table(table, path)
        found, ledger = read_catalogue(path)
        assert found["id"].to_pylist() == ["6", "5"] and found["ruwe"].to_pylist() == [2.0, 3.0]
        no_id = [("", "catalogue row with no id")] if name == "x.parquet" else []
        told = [("5", "catalogue row of a repeated id: the last one stays"), *no_id]
        assert [(row.object, row.reason) for row in ledger.rows] == told
    with pytest.raises(UserError, match="lacks column 'source_id'"):
        read_catalogue(tmp_path / "x.parquet", "source_id")


def test_lost_spectra_are_named_by_their_source_too():
    table = pa.table({"id": ["s1", "s2"], "obsid": ["a", "lost"]})
    lost = [Quarantined(f"{name}.fits", name, "", 1, 0, "no two finite pixels")
            for name in ("lost", "other")]  # fmt: skip
    ledger = opening(6, 0).quarantine(lost)
    spectra, ledger = linked(raw_spectra(), ledger, table, "obsid")
    assert spectra.columns["id"].to_pylist() == ["s1", "c", "s1", "x"]
    assert [(row.file, row.object) for row in ledger.rows] == [
        ("lost.fits", "s2"), ("other.fits", "other")
    ]  # fmt: skip
    assert ledger.notes == ("2 spectra are not named by 'obsid' of the catalogue: c, x",)


# Spectra of surveys


@pytest.mark.parametrize(("name", "count"), [("lamost_fits", 15), ("miles_fits", 4)])
def test_original_files(shared, name, count):
    folder = shared / "data" / "raw_samples" / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    spectra, ledger = read_spectra(str(folder))
    assert len(spectra) == count == ledger.kept.objects
    for k in range(count):
        wave, flux, ivar = spectra.one(k)
        assert (np.diff(wave) > 0).all() and wave[0] < 3850 and wave[-1] > 7400
        assert np.median(flux) > 0 and (ivar >= 0).all()
    assert (spectra.columns["snr"].to_numpy() > 0).all()


def test_an_original_file_and_the_table_made_of_it_agree(shared):
    folder, table = shared / "data" / "raw_samples" / "lamost_fits", shared / "data" / "spectra"
    if not folder.is_dir() or not table.is_dir():
        pytest.skip(f"no {folder}")
    raw, _ = read_spectra(str(folder))
    made, _ = read_spectra(str(table / "lamost_lrs_sample.parquet"))
    names = [Path(file).stem for file in raw.columns["file"].to_pylist()]
    there = made.columns["id"].to_pylist()
    pairs = [(k, there.index(name)) for k, name in enumerate(names) if name in there]
    assert len(pairs) > 3
    for k, other in pairs:
        for ours, theirs in zip(raw.one(k), made.one(other), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-3)


@pytest.mark.parametrize("name", ["lamost_lrs_sample", "miles_stars"])
def test_real_spectra_become_objects(shared, name):
    path = shared / "data" / "spectra" / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"no {path}")
    spectra, _ = read_spectra(str(path))
    ends = {"lamost_lrs_sample": 9000.0, "miles_stars": 7400.0}
    grid = (3850.0, ends[name], 5.0)
    objects, ledger = assemble(None, spectra, None, wavelengths=grid, label="sptype")
    part = objects.parts["spectrum"]
    assert len(objects) == len(spectra) == ledger.kept.objects
    assert part.mask.mean() > 0.9 and np.isfinite(part.values).all()
    assert {"A", "F", "G", "K", "M"} <= set(objects.columns["label"].to_pylist())
    hot, cool = (np.array(objects.columns["label"].to_pylist()) == t for t in "AM")
    assert len(wavelength_grid(grid)) == len(part.grid)
    blue = part.values[:, : len(part.grid) // 4, 0].mean(1)
    assert np.median(blue[hot]) > np.median(blue[cool])


@pytest.mark.parametrize("kind", ["sdss", "lamost_dr8"])
def test_tables_in_fits(tmp_path, kind):
    """Written by astropy in the documented layouts; not tried on an original file."""
    fits = pytest.importorskip("astropy.io.fits")
    loglam = np.arange(3.58, 3.96, 1e-4)
    flux = np.random.default_rng(0).normal(10, 1, len(loglam))
    if kind == "sdss":
        columns = [("flux", "E", flux), ("loglam", "E", loglam), ("ivar", "E", np.ones(len(flux)))]
    else:
        shape = f"{len(flux)}E"
        columns = [("FLUX", shape, flux[None]), ("IVAR", shape, np.ones((1, len(flux)))),
                   ("WAVELENGTH", shape, 10 ** loglam[None])]  # fmt: skip
    made = fits.BinTableHDU.from_columns(
        [fits.Column(name=n, format=f, array=a) for n, f, a in columns]
    )
    primary = fits.PrimaryHDU()
    primary.header["OBSID"] = 1234567890123
    fits.HDUList([primary, made]).writeto(tmp_path / "spec.fits")
    spectra, _ = read_spectra(str(tmp_path / "spec.fits"))
    wave, ours, _ = spectra.one(0)
    np.testing.assert_allclose(wave, 10**loglam, rtol=1e-5)
    np.testing.assert_allclose(ours, flux, rtol=1e-5)
    assert spectra.columns["id"].to_pylist() == ["1234567890123"]


def test_files_that_are_no_spectra_are_quarantined(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    (tmp_path / "broken.fits").write_bytes(b"SIMPLE")
    fits.PrimaryHDU(np.zeros((3, 4))).writeto(tmp_path / "image.fits")
    good = pa.table({"id": ["s"], "flux": [[1.0, 2.0, 3.0]], "wavelength": [[4000.0, 4001, 4002]]})
    pq.write_table(good, tmp_path / "x.parquet")
    spectra, ledger = read_spectra(str(tmp_path))
    assert len(spectra) == 1 and len(ledger.rows) == 2
    assert any("no known spectrum" in row.reason for row in ledger.rows)
    with pytest.raises(UserError, match="no spectrum in"):
        read_spectra(str(tmp_path / "image.fits"))
    pq.write_table(good.drop_columns(["wavelength"]), tmp_path / "y.parquet")
    with pytest.raises(UserError, match="no grid in its schema metadata"):
        read_spectra(str(tmp_path / "y.parquet"))


def test_air_to_vacuum():
    """The lines of Morton 1991 (ApJS 77 119): H alpha 6562.80 in air is 6564.61 in vacuum."""
    np.testing.assert_allclose(
        to_vacuum(np.array([6562.80, 3968.47])), [6564.61, 3969.59], atol=0.01
    )
