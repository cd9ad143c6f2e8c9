"""`doctor` on deliberately sick files: each is reported, none is a failure."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import ROOT, config_of, toy_curves
from tiny_transients import labelled_transients

from astro_jax.data.curves import from_arrays
from astro_jax.data.table import write_table
from astro_jax.data.transient_table import to_table, write_transients
from astro_jax.doctor import examine
from astro_jax.main import main
from astro_jax.quantiles import LEVELS, QUANTILES, compare, kept_quantiles, measure, quantiles

HEADER = "id,mjd,mag,magerr"


def rows_of(count: int = 6, points: int = 40) -> list[list]:
    """Return observations [id, mjd, mag, magerr] of some curves."""
    rows = [[f"star{k}", *row] for k, c in enumerate(toy_curves(count, points)) for row in c]
    errors = np.random.default_rng(0).uniform(0.01, 0.03, len(rows))
    return [[*row[:3], error] for row, error in zip(rows, errors, strict=True)]


def csv_of(folder, rows, header=HEADER):
    """Write observations as CSV; numbers with all their digits."""
    path = folder / "survey.csv"
    lines = [",".join(x if isinstance(x, str) else repr(float(x)) for x in row) for row in rows]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def told_of(path, **changes) -> dict[str, list[tuple[str, str]]]:
    """Return {topic: [(level, text)]} of what is found in a file."""
    return found_in(path, **changes)[0]


def found_in(path, **changes):
    """Return {topic: [(level, text)]}, and all that was examined."""
    config = config_of("doctor")
    config.data.path = str(path)
    with config.unlocked():
        config.update(changes)
    examined = examine(config, None)
    told: dict[str, list] = {}
    for finding in examined.findings:
        told.setdefault(finding.topic, []).append((finding.level, finding.text))
    return told, examined


def levels(told) -> set[str]:
    return {level for found in told.values() for level, _ in found}


def test_healthy_curves_are_in_order(tmp_path):
    told, examined = found_in(csv_of(tmp_path, rows_of()))
    assert levels(told) == {"ok"} and len(examined.plots) == 6
    assert "40 observations" in examined.plots[0].note
    topics = "times precision units errors sentinels order duplicates bands ids keys lengths"
    assert set(told) >= {*topics.split(), "cadence", "quarantine"}


def test_dates_that_went_through_float32(tmp_path):
    rows = [[a, float(np.float32(t + 2400000.5)), m, e] for a, t, m, e in rows_of()]
    told = told_of(csv_of(tmp_path, rows, "id,jd,mag,magerr"))
    ((level, text),) = told["precision"]
    assert level == "stop" and "float32 as JD" in text and "180 minutes" in text
    rows = [[a, float(np.float32(t)), m, e] for a, t, m, e in rows_of()]
    ((level, text),) = told_of(csv_of(tmp_path, rows))["precision"]
    assert level == "look" and "float32 as MJD" in text and "2.81 minutes" in text


def test_rounded_dates(tmp_path):
    rows = [[a, round(t), m, e] for a, t, m, e in rows_of()]
    ((level, text),) = told_of(csv_of(tmp_path, rows))["precision"]
    assert level == "look" and "rounded to 1 d" in text
    rows = [[a, round(t, 2), m, e] for a, t, m, e in rows_of()]
    ((level, text),) = told_of(csv_of(tmp_path, rows))["precision"]
    assert level == "ok" and "rounded to 0.01 d" in text


def test_an_open_origin_of_times_is_taken_and_said(tmp_path):
    rows = [[a, t + 0.5 - 40_000, m, e] for a, t, m, e in rows_of()]
    told, examined = found_in(csv_of(tmp_path, rows, "id,t,mag,magerr"))
    assert "time_format" in told["reader"][0][1] and told["reader"][0][0] == "stop"
    assert "time_format" in examined.opened.said and len(examined.opened.data) == 6


def test_swapped_columns_are_read_the_other_way_round(tmp_path):
    rows = [[a, t, e, m] for a, t, m, e in rows_of()]
    told, examined = found_in(csv_of(tmp_path, rows))
    assert told["columns"][0][0] == "stop" and "look swapped" in told["columns"][0][1]
    assert examined.opened.said["columns"] == {"mag": "magerr", "magerr": "mag"}
    assert 13 < np.median(examined.opened.data.mag) < 17
    assert told["errors"][0][1].startswith("median 0.0")


def test_sentinels(tmp_path):
    rows = [[a, t, 99.999 if k % 10 == 0 else m, e] for k, (a, t, m, e) in enumerate(rows_of())]
    told = told_of(csv_of(tmp_path, rows))
    assert "10 %" in told["sentinels"][0][1] and "99.999" in told["sentinels"][0][1]
    assert told["quarantine"][0][0] == "look" and "sentinel" in told["quarantine"][0][1]
    rows = [[a, t, 30.0 if k % 10 == 0 else m, e] for k, (a, t, m, e) in enumerate(rows_of())]
    ((level, text),) = told_of(csv_of(tmp_path, rows))["sentinels"]
    assert level == "stop" and "exactly 30" in text


def test_order_repeats_and_keys(tmp_path):
    rows = rows_of()
    told = told_of(csv_of(tmp_path, [*rows[::-1], *rows[:3]]))
    assert told["order"][0][0] == "look" and "6 of 6 curves" in told["order"][0][1]
    assert told["duplicates"][0][0] == "look" and told["duplicates"][0][1].startswith("3 obs")
    table = tmp_path / "twice.parquet"
    write_table(from_arrays(toy_curves(3, 20), ids=[1, 2, 1]), str(table))
    assert told_of(table)["keys"][0] == ("look", "1 rows repeat the id of another: the first stays")


def test_ids_that_are_floats(tmp_path):
    curves = toy_curves(3, 20)
    lists = {n: [c[:, k].tolist() for c in curves] for k, n in enumerate(("time", "mag", "magerr"))}
    pq.write_table(pa.table({"id": [1.0, 2.0, 3.0], **lists}), tmp_path / "x.parquet")
    found = told_of(tmp_path / "x.parquet")
    assert found["ids"][0][0] == "stop" and "stores ids as double" in found["ids"][0][1]


def test_fluxes_where_magnitudes_belong(tmp_path):
    rows = [[a, t, 10 ** (0.4 * (25 - m)), 30.0] for a, t, m, e in rows_of()]
    ((level, text),) = told_of(csv_of(tmp_path, rows))["units"]
    assert level == "stop" and "no magnitudes; fluxes?" in text
    few = [[a, t, -99.0 if k % 3 else m, e] for k, (a, t, m, e) in enumerate(rows_of())]
    ((level, text),) = told_of(csv_of(tmp_path, few))["units"]
    assert level == "ok" and "1 % below 14" in text


def test_what_holds_nothing(tmp_path, capsys):
    contents = {"empty.csv": b"", "noise.bin": bytes(range(256)) * 9, "head.csv": HEADER.encode()}
    for name, content in {**contents, "broken.parquet": b"PAR1 oh"}.items():
        path = tmp_path / name
        path.write_bytes(content)
        told, examined = found_in(path)
        assert "stop" in levels(told) and examined.opened.data is None, name
        assert told["quarantine"][0][1].startswith("1 of 1 objects"), name
    words = [f"--config={ROOT}/configs/doctor.py", f"--config.data.path={tmp_path / 'empty.csv'}"]
    assert main(["main", *words, f"--workdir={tmp_path / 'out'}"]) == 0
    assert "empty file" in capsys.readouterr().out
    assert "empty file" in (tmp_path / "out" / "doctor.html").read_text()


@pytest.mark.parametrize("kind", ["csv", "parquet", "transients"])
def test_damaged_files_are_reported_too(tmp_path, kind):
    path = csv_of(tmp_path, rows_of(2, 12))
    if kind != "csv":
        path = tmp_path / "x.parquet"
        curves = from_arrays(toy_curves(2, 12))
        write_table(curves, str(path)) if kind == "parquet" else write_transients(
            labelled_transients(12), str(path)
        )
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(25):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 20)):
            data[place] = rng.integers(0, 256)
        path.write_bytes(
            bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.3 else data)
        )
        told, examined = found_in(path)
        assert "quarantine" in told and examined.opened.kind in ("curves", "transients")


def test_nothing_to_look_at_is_a_mistake(tmp_path, capsys):
    words = ["main", f"--config={ROOT}/configs/doctor.py", f"--workdir={tmp_path}"]
    assert main(words) == 1 and "--config.data.path" in capsys.readouterr().err
    assert main([*words, f"--config.data.path={tmp_path}/no.csv"]) == 1
    assert main([*words, "--config.data.path=x", "--config.kind=stars"]) == 1
    assert "curves, transients, objects" in capsys.readouterr().err


def test_names_from_data_are_harmless_on_the_page(tmp_path):
    evil = "<script>alert(1)</script>&\"'"
    curves = from_arrays(toy_curves(3, 20), ids=[evil, "b</pre>", "c"], band=["<b>", "V", "V"])
    write_table(curves, str(tmp_path / "x.parquet"))
    words = [f"--config={ROOT}/configs/doctor.py", f"--config.data.path={tmp_path / 'x.parquet'}"]
    output = tmp_path / "page.html"
    assert main(["main", *words, f"--config.output={output}"]) == 0
    page = output.read_text()
    assert evil not in page and "<b>" in page.replace("<b>&lt;script", "", 1)  # of titles
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "&lt;b&gt;" in page
    assert page.count("<script") == 1  # ours


# Transients


def test_healthy_transients(tmp_path):
    write_transients(labelled_transients(60), str(tmp_path / "x.parquet"))
    told, examined = found_in(tmp_path / "x.parquet")
    assert examined.opened.kind == "transients" and "stop" not in levels(told)
    assert "SNIa" in told["metadata"][0][1] and len(examined.plots) == 9


def test_an_unknown_band_is_left_out_and_said(tmp_path):
    table = to_table(labelled_transients(20))
    bands = table["band"].to_pylist()
    bands[0] = ["kitchen"] * len(bands[0])
    place = table.column_names.index("band")
    pq.write_table(table.set_column(place, "band", pa.array(bands)), tmp_path / "x.parquet")
    told, examined = found_in(tmp_path / "x.parquet")
    assert "unknown band 'kitchen'" in told["reader"][0][1]
    assert len(examined.opened.data) == 19 and "unknown bands" in told["bands"][0][1]


def test_magnitudes_where_fluxes_belong(tmp_path):
    transients = labelled_transients(20)
    table = to_table(transients)
    rng = np.random.default_rng(0)
    for name, low, high in (("flux", 17.0, 21.0), ("fluxerr", 0.02, 0.2)):
        lists = [rng.uniform(low, high, n).tolist() for n in transients.lengths]
        table = table.set_column(table.column_names.index(name), name, pa.array(lists))
    pq.write_table(table, tmp_path / "x.parquet")
    told, examined = found_in(tmp_path / "x.parquet")
    assert "look like magnitudes, not fluxes" in told["reader"][0][1]
    assert examined.opened.said["columns"] == {"mag": "flux", "magerr": "fluxerr"}
    assert "AB magnitudes turned into fluxes" in told["units"][0][1]


def test_objects_in_several_modalities(labelled):
    told, examined = found_in("", data={"curves": str(labelled), "required": ()})
    assert examined.opened.kind == "objects" and "stop" not in levels(told)
    assert told["photometry"][0][1] == "155 of 155 objects" and len(examined.plots) == 9


def test_spectra_alone_are_pointed_to_their_key(tmp_path):
    (tmp_path / "spec.fits").write_bytes(b"SIMPLE  =                    T" + bytes(2880))
    told = told_of(tmp_path / "spec.fits")
    assert "--config.data.spectra" in told["kind"][0][1]


# Beside a run


def test_a_run_keeps_quantiles_of_its_training_data(finished, classified, transferred):
    for run in (finished, classified, transferred):
        known = kept_quantiles(run)
        assert {"observations", "time span (days)", "median gap (days)"} <= set(known)
        assert all(len(q) == len(LEVELS) and np.all(np.diff(q) >= 0) for q in known.values())
    assert "reconstruction error (mag)" in kept_quantiles(finished)
    assert (finished / QUANTILES).stat().st_size < 10_000


def test_data_far_from_those_of_a_run_are_said(tmp_path, finished, capsys):
    near, far = tmp_path / "near.parquet", tmp_path / "far.parquet"
    curves = toy_curves(12, 60)
    write_table(from_arrays(curves), str(near))
    write_table(from_arrays([c + [0, 12.0, 0] for c in curves]), str(far))
    words = [f"--config={ROOT}/configs/doctor.py", f"--config.init={finished}"]
    for path in (near, far):
        assert main(["main", *words, f"--config.data.path={path}", f"--workdir={tmp_path}"]) == 0
    text = capsys.readouterr().out
    assert "median magnitude" in text.split("doctor:")[2] and "100 % of the objects" in text
    page = (tmp_path / "doctor.html").read_text()
    assert "reconstruction error (mag)" in page and "lie outside of the training" in page


def test_a_run_without_quantiles_says_so(tmp_path, finished, capsys):
    path = tmp_path / "x.parquet"
    write_table(from_arrays(toy_curves(4, 40)), str(path))
    kept = (finished / QUANTILES).read_bytes()
    (finished / QUANTILES).unlink()
    try:
        words = [f"--config={ROOT}/configs/doctor.py", f"--config.init={finished}"]
        words += [f"--config.data.path={path}", f"--workdir={tmp_path}"]
        assert main(["main", *words]) == 0
    finally:
        (finished / QUANTILES).write_bytes(kept)
    text = capsys.readouterr().out
    assert "keeps no quantiles of its training data" in text and "unknown" in text


def test_a_run_on_other_data_is_not_compared(tmp_path, transferred, capsys):
    path = tmp_path / "x.parquet"
    write_table(from_arrays(toy_curves(4, 40)), str(path))
    words = [f"--config={ROOT}/configs/doctor.py", f"--config.init={transferred}"]
    words += [f"--config.data.path={path}", f"--workdir={tmp_path}"]
    assert main(["main", *words]) == 0
    assert "reads transients, these data are curves: not compared" in capsys.readouterr().out


def test_transients_beside_their_own_run(tmp_path, transferred, transient_file, capsys):
    words = [f"--config={ROOT}/configs/doctor.py", f"--config.init={transferred}"]
    words += [f"--config.data.path={transient_file}", f"--workdir={tmp_path}"]
    assert main(["main", *words]) == 0
    assert "largest flux (scaled)" in capsys.readouterr().out


# Quantiles


def test_measures_are_those_of_each_curve():
    curves = from_arrays([np.array([[1.0, 10, 0.1], [3, 12, 0.3], [4, 11, 0.2]]),
                          np.array([[5.0, 7, np.nan]])])  # fmt: skip
    found = measure(curves)
    np.testing.assert_array_equal(found["observations"], [3, 1])
    np.testing.assert_array_equal(found["time span (days)"], [3, np.nan])
    np.testing.assert_array_equal(found["median gap (days)"], [1.5, np.nan])
    np.testing.assert_allclose(found["median magnitude"], [11, 7])
    np.testing.assert_allclose(found["median error (mag)"], [0.2, np.nan], rtol=1e-6)
    np.testing.assert_allclose(found["scatter (mag, 1.48 MAD)"], [1.4826, 0], rtol=1e-4)


def test_what_lies_outside_is_counted():
    rng = np.random.default_rng(0)
    known = json.loads(json.dumps(quantiles({"x": rng.normal(size=20_000)})))
    (same,) = compare({"x": rng.normal(size=20_000)}, known)
    assert same.share == pytest.approx(0.01, abs=0.003)
    (far,) = compare({"x": rng.normal(size=1000) + 10}, known)
    assert far.share == 1.0 and far.here[1] == pytest.approx(10, abs=0.2)
    (open_,) = compare({"y": np.ones(3)}, known)
    assert np.isnan(open_.share) and open_.there is None and not open_.outside.any()
