"""Jobs on raw light curves, spectra and a catalogue: bad rows of every kind, several spectra."""

import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import ROOT
from tiny_objects import words

import astro_jax
from astro_jax.main import main
from astro_jax.summary import read_metrics

pytestmark = pytest.mark.usefixtures("hastily")
PREDICT = f"--config={ROOT}/configs/predict.py"
WAVES = np.arange(3800.0, 9100.0, 9.0)
STARS = [f"s{k:02d}" for k in range(40)]
CLASSES = ("EA", "RR")


def train(variant, *line):
    """Run a tiny training of a classifier from raw parts."""
    own = [word for word in words(f"classify_astrom3:{variant}") if "simulate" not in word]
    config = f"--config={ROOT}/configs/classify_astrom3.py:{variant}"
    return main(["main", config, *own, "--config.data.required=()", *line])


def label_of(star):
    return CLASSES[int(star[1:]) % 2]


# Bad rows, one of every kind, and why each cannot be used

CURVES = [*STARS, "s00", None, "flat", "nan", "short"]
LOST_CURVES = {
    "s00": "repeated key: another row before it has this id and band",
    "": "no id",
    "flat": "constant light curve: the median absolute deviation is 0",
    "nan": "nothing usable: magnitude missing or not finite",
    "short": "fewer than two finite observations",
}
SPECTRA = [*STARS[:30], "s30", "s31", "s32", "s33", "s34", None, "alone", "lost"]
LOST_SPECTRA = {
    "s30": "constant spectrum: the median absolute deviation is 0",
    "s31": "spectrum does not reach the grid, 3850 to 8998 Angstrom",
    "s32": "no two finite pixels",
    "s33": "flux, ivar and wavelength differ in length",
    "s34": "spectrum without inverse variances above 0 on the grid",
    "": "no id",
    "lost": "no two finite pixels",
    "broken": "unreadable: FileError: ",
}
CATALOGUE = [*STARS[:36], "s01", None, "lost", "nobody"]
LOST_ROWS = {
    "s01": "catalogue row of a repeated id: the last one stays",
    "": "catalogue row with no id",
    "lost": "catalogue row with neither light curve nor spectrum",
    "nobody": "catalogue row with neither light curve nor spectrum",
}
PARTS = {
    "curves": (len(CURVES), LOST_CURVES),
    "spectra": (len(SPECTRA) + 1, LOST_SPECTRA),  # and the broken file
    "catalogue": (len(CATALOGUE), LOST_ROWS),
}
WITHOUT = ["flat", "short"]  # objects whose only part is lost


def write_curves(path):
    rng = np.random.default_rng(0)
    times = [np.sort(rng.uniform(0, 300, 40)) for _ in CURVES]
    mags = [12 + 0.3 * np.sin(time) + 0.01 * rng.standard_normal(40) for time in times]
    for name, change in (("flat", 12.0), ("nan", np.nan)):
        mags[CURVES.index(name)][:] = change
    mags[CURVES.index("short")][1:] = np.nan
    pq.write_table(pa.table({"id": CURVES, "time": times, "mag": mags}), path)


def write_spectra(folder):
    rng = np.random.default_rng(1)
    folder.mkdir()
    wave = [WAVES] * len(SPECTRA)
    flux = [10 + rng.standard_normal(len(WAVES)) for _ in SPECTRA]
    ivar = [np.ones(len(WAVES)) for _ in SPECTRA]
    place = {name: SPECTRA.index(name) for name in ("s30", "s31", "s32", "s33", "s34", "lost")}
    wave[place["s31"]] = WAVES - 6000.0
    flux[place["s30"]][:] = 7.0
    for name in ("s32", "lost"):
        flux[place[name]][:] = np.nan
    flux[place["s33"]] = np.ones(3)
    ivar[place["s34"]][:] = 0.0
    columns = {"id": SPECTRA, "flux": flux, "ivar": ivar, "wavelength": wave}
    pq.write_table(pa.table(columns), folder / "some.parquet")
    (folder / "broken.parquet").write_bytes(b"PAR1 and nothing more")


def write_catalogue(path):
    rng = np.random.default_rng(2)
    names = ("parallax", "phot_g_mean_mag", "bp_rp", "pmra")
    lines = [",".join(("id", "label", *names, "ruwe"))]
    for name in CATALOGUE:
        label = label_of(name) if name in STARS else ""
        lines.append(",".join((name or "", label, *map(str, rng.uniform(1, 9, 4)), "nan")))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Return the words that name light curves, spectra and a catalogue with bad rows."""
    folder = tmp_path_factory.mktemp("parts")
    write_curves(folder / "curves.parquet")
    write_spectra(folder / "spectra")
    write_catalogue(folder / "catalogue.csv")
    files = {"curves": "curves.parquet", "spectra": "spectra", "catalogue": "catalogue.csv"}
    return {name: f"--config.data.{name}={folder / file}" for name, file in files.items()}


@pytest.fixture(scope="module")
def trained(parts, tmp_path_factory, hastily):
    """Return the folder of a tiny classifier of all modalities, trained on these parts."""
    workdir = tmp_path_factory.mktemp("parts") / "all"
    assert train("all", *parts.values(), f"--workdir={workdir}") == 0
    return workdir


def quarantine(path, words_of_parts):
    """Return the rows of a quarantine by the part whose file each names, {part: [row]}."""
    found = {name: [] for name in words_of_parts}
    for row in csv.DictReader(path.open()):
        (name,) = (n for n, w in words_of_parts.items() if row["file"].startswith(w.split("=")[1]))
        found[name].append(row)
    return found


def check_account(found):
    """Check that every bad row is there once, with its reason, beside points that are none."""
    for part, (_, lost) in PARTS.items():
        points = "magnitude missing or not finite"
        whole = [row for row in found[part] if row["reason"] != points]
        assert {row["object"] for row in whole} == set(lost), part
        for row in whole:
            assert row["reason"].startswith(lost[row["object"]]), row
        assert len(whole) == len(lost)


def test_bad_rows_are_quarantined_and_the_others_train(parts, trained):
    found = quarantine(trained / "quarantine.csv", parts)
    check_account(found)
    told = {row["object"]: row for rows in found.values() for row in rows}
    assert told["nobody"]["objects"] == "1" and told["s30"]["objects"] == "0"
    assert "name its format" not in {row["fix"] for rows in found.values() for row in rows}


def test_rows_in_are_rows_out_and_quarantined(parts, trained, tmp_path, capsys):
    line = ["main", PREDICT, f"--config.init={trained}", f"--config.output={tmp_path}/p.parquet"]
    assert main([*line, *parts.values()]) == 0
    told = capsys.readouterr().out
    for name, (count, lost) in PARTS.items():
        used = count - len(lost)
        assert f"{name}: {count} rows read, {used} used, {len(lost)} quarantined" in told
    assert "30 of 34 catalogue columns have no value" in told  # ruwe, and those not given
    table = pq.read_table(tmp_path / "p.parquet")
    ids = table["id"].to_pylist()
    assert sorted(ids) == sorted([*STARS, *WITHOUT, "alone"])
    used = {name: set(np.array(ids)[table[f"used_{name}"].to_numpy()])
            for name in ("photometry", "spectrum", "metadata")}  # fmt: skip
    assert used["photometry"] == set(STARS) and used["metadata"] == set(STARS[:36])
    assert used["spectrum"] == {*STARS[:30], "alone"}
    null = [row["id"] for row in table.to_pylist() if row["prediction"] is None]
    assert sorted(null) == WITHOUT
    check_account(quarantine(tmp_path / "p.parquet.quarantine.csv", parts))


def test_a_part_that_is_missing_when_predicting(parts, trained, tmp_path, caplog):
    line = ["main", PREDICT, f"--config.init={trained}", f"--config.output={tmp_path}/p.parquet"]
    assert main([*line, parts["spectra"]]) == 0
    table = pq.read_table(tmp_path / "p.parquet")
    names = ["alone", *STARS[:31], "s31", "s34"]
    assert sorted(table["id"].to_pylist()) == sorted(names)
    assert table["prediction"].null_count == 3
    assert f"{len(names)} of {len(names)} objects have no photometry" in caplog.text
    lost = {row["object"]: row for row in
            csv.DictReader((tmp_path / "p.parquet.quarantine.csv").open())}  # fmt: skip
    assert set(lost) == set(LOST_SPECTRA) and lost["s32"]["objects"] == "1"


# Several spectra of a source


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Return files of spectra: two of each star, the worse first; and the better ones alone."""
    rng = np.random.default_rng(3)
    folder = tmp_path_factory.mktemp("pairs")
    best = [10 + np.sin(WAVES / (200 if label_of(star) == "EA" else 90)) for star in STARS]
    worse = [10 + rng.standard_normal(len(WAVES)) for _ in STARS]

    def write(name, ids, flux, ivar):
        columns = {"id": ids, "label": [label_of(star) for star in ids], "flux": flux}
        columns |= {"ivar": ivar, "wavelength": [WAVES] * len(ids)}
        pq.write_table(pa.table(columns), folder / name)
        return f"--config.data.spectra={folder / name}"

    high, low = ([np.full(len(WAVES), value)] * len(STARS) for value in (100.0, 1.0))
    both = write("both.parquet", [*STARS, *STARS], [*worse, *best], [*low, *high])
    return both, write("best.parquet", STARS, best, high)


def test_one_of_several_spectra_is_drawn_at_each_step_and_the_best_evaluated(pairs, tmp_path):
    lines, params = {}, {}
    for name, drawn in (("any", True), ("again", True), ("best", False)):
        told = [pairs[0], f"--config.data.any_spectrum={drawn}", "--config.eval_every=1"]
        assert train("spectra", *told, f"--workdir={tmp_path / name}") == 0
        metrics = read_metrics(tmp_path / name / "metrics.jsonl")
        lines[name] = {(m["split"], m["step"]): m["loss"] for m in metrics}
        params[name] = astro_jax.load(tmp_path / name, step="last").params
    assert lines["any"] == lines["again"] and set(lines["any"]) == set(lines["best"])
    assert abs(lines["any"]["train", 1] / lines["best"]["train", 1] - 1) > 1e-4
    # the first epoch has 1e-5 of the learning rate: what is evaluated after it is the same network
    np.testing.assert_allclose(lines["any"]["valid", 1], lines["best"]["valid", 1], rtol=1e-5)
    tables = []
    for name, data in zip(("both", "best"), pairs, strict=True):
        line = [f"--config.init={tmp_path / 'any'}", f"--config.output={tmp_path / name}.parquet"]
        assert main(["main", PREDICT, *line, data]) == 0
        tables.append(pq.read_table(tmp_path / f"{name}.parquet"))
    assert tables[0].equals(tables[1]) and tables[0].num_rows == len(STARS)
