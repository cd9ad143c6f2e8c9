"""Transients: the trigger, selections, reading of tables, and what bad input becomes."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astro_jax.data.ledger import opening
from astro_jax.data.read_transients import read_transients
from astro_jax.data.transient_table import to_table, write_transients
from astro_jax.data.transients import (
    band_names,
    cut_snr,
    from_arrays,
    keep_bands,
    quarantine_untriggered,
    trigger_times,
)
from astro_jax.errors import UserError


def rising(start=58000.0, peak=400.0, sigma=10.0):
    """Return ten points in two bands, three days apart, that rise and fall."""
    time = start + 3.0 * np.arange(10)
    flux = peak * np.exp(-0.5 * ((np.arange(10) - 4) / 2) ** 2)
    return time, ["ztfg", "ztfr"] * 5, flux, np.full(10, sigma)


def table(**changes):
    """Return an object table of two objects, with columns replaced or left out (None)."""
    time, band, flux, fluxerr = rising()
    columns = {
        "object_id": ["a", "b"],
        "time": [time.tolist()] * 2,
        "band": [band] * 2,
        "flux": [flux.tolist()] * 2,
        "flux_err": [fluxerr.tolist()] * 2,
        "label": ["SNIa", ""],
        "redshift": [0.1, None],
    }
    columns |= changes
    return pa.table({name: values for name, values in columns.items() if values is not None})


# The trigger


def test_the_trigger_is_the_first_detection_near_the_maximum():
    time, band, flux, fluxerr = rising()
    early = [time[0] - 200.0, *time]
    flux = [300.0, *flux]  # an older outburst: no trigger
    curve = early, ["ztfr", *band], flux, [10.0, *fluxerr]
    (found,) = trigger_times(from_arrays([curve]))
    snr = np.array(flux) / 10
    assert found == min(t for t, s in zip(early[1:], snr[1:], strict=True) if s >= 5)


def test_a_noisy_point_is_neither_trigger_nor_maximum():
    time, band, flux, fluxerr = rising()
    curve = [time[0] - 100.0, *time], ["ztfg", *band], [1e5, *flux], [1e5, *fluxerr]
    (found,) = trigger_times(from_arrays([curve]))
    assert found == trigger_times(from_arrays([rising()]))[0]


def test_a_given_trigger_wins_and_none_is_nan():
    curves = [rising(), rising(peak=20.0), rising()]
    transients = from_arrays(curves, trigger=pa.array([58001.0, None, None], pa.float64()))
    found = trigger_times(transients)
    assert found[0] == 58001.0 and np.isnan(found[1]) and found[2] == 58000.0


def test_real_objects_have_the_trigger_of_their_documentation(shared):
    """The three lines of Python in the data's README."""
    transients, _ = read_transients(shared / "data/transient_yse_dr1.parquet")
    found = trigger_times(transients)
    for k in range(0, len(transients), 50):
        part = slice(*transients.offsets[k : k + 2])
        t, f, e = (getattr(transients, n)[part] for n in ("time", "flux", "fluxerr"))
        det = t[f / e >= 5]
        maximum = t[np.where(f / e >= 5, f, -1).argmax()]
        assert found[k] == det[det > maximum - 60][0]
    assert np.isnan(found).sum() == 1


def test_objects_without_a_trigger_are_named():
    transients = from_arrays([rising(), rising(peak=20.0)], ids=["a", "b"])
    ledger = opening(2, 20)
    trigger = trigger_times(transients)
    kept, ledger, trigger = quarantine_untriggered(transients, ledger, trigger)
    assert kept.columns["id"].to_pylist() == ["a"] and len(trigger) == 1
    assert [(r.object, r.objects, r.observations) for r in ledger.rows] == [("b", 1, 10)]
    assert ledger.rows[0].reason.startswith("no trigger")
    with pytest.raises(UserError, match="none of 1 objects has a point of S/N 5"):
        quarantine_untriggered(*[transients.take([1]), opening(1, 10)], np.array([np.nan]))
    none = transients.take([1]), opening(1, 10), np.array([np.nan])
    assert len(quarantine_untriggered(*none, required=False)[0]) == 0


# Selections


def test_cuts_are_filtered_and_balance():
    transients = from_arrays([rising(), rising(peak=20.0)])
    ledger = opening(2, 20)
    assert cut_snr(transients, ledger, 0.0) == (transients, ledger)
    cut, after = cut_snr(transients, ledger, 4.0)
    assert len(cut) == 1 and (cut.snr > 4).all()
    assert after.filtered == (1, 20 - len(cut.time)) and after.kept == (1, len(cut.time))
    one, after = keep_bands(transients, ledger, ["ztfr"])
    assert set(band_names(one)) == {"ztfr"} and after.filtered == (0, 10)
    with pytest.raises(UserError, match="none of 20 observations is left: band is not ps1y"):
        keep_bands(transients, ledger, ["ps1y"])
    with pytest.raises(UserError, match="bands: unknown band 'q'"):
        keep_bands(transients, ledger, ["q"])


def test_take_and_flat_arrays():
    transients = from_arrays([rising(), rising(59000.0)], ids=["a", "b"])
    second = transients.take([1])
    assert second.time[0] == 59000.0 and second.columns["id"].to_pylist() == ["b"]
    assert set(transients.flat) == {"time", "band", "flux", "fluxerr"}
    assert transients.curve.tolist() == [0] * 10 + [1] * 10
    with pytest.raises(ValueError, match="curve 0: give time, band, flux, fluxerr"):
        from_arrays([([1.0], ["ztfg"], [1.0], [1.0, 2.0])])


# Tables


def test_object_table(tmp_path):
    transients, ledger = read_transients(table())
    assert transients.columns["id"].to_pylist() == ["a", "b"]
    assert transients.label == ["SNIa", None]
    np.testing.assert_array_equal(transients.scalar("redshift"), [0.1, np.nan])
    assert ledger.read == ledger.kept == (2, 20)
    pq.write_table(table(), tmp_path / "t.parquet")
    again, _ = read_transients(tmp_path / "t.parquet")
    write_transients(transients, str(tmp_path / "own.parquet"))
    own, _ = read_transients(tmp_path / "own.parquet")
    for other in (again, own):
        assert other.columns.equals(transients.columns)
        for name, values in transients.flat.items():
            np.testing.assert_array_equal(getattr(other, name), values)
    assert b"FLUXCAL" in to_table(own).schema.metadata[b"flux"]


@pytest.mark.parametrize("layout", ["list<struct>", "struct<list>", "rows"])
def test_other_layouts(layout):
    flat = table()
    names = ["time", "band", "flux", "flux_err"]
    rest = flat.drop_columns(names)
    if layout == "rows":
        lists = {n: flat[n].combine_chunks() for n in names}
        index = np.repeat([0, 1], 10)
        other = rest.take(pa.array(index))
        for name, column in lists.items():
            other = other.append_column(name.replace("time", "mjd"), column.flatten())
    elif layout == "struct<list>":
        other = rest.append_column(
            "photometry",
            pa.StructArray.from_arrays([flat[n].combine_chunks() for n in names], names),
        )
    else:
        parts = [flat[n].combine_chunks().flatten() for n in names]
        struct = pa.StructArray.from_arrays(parts, names)
        other = rest.append_column(
            "photometry", pa.ListArray.from_arrays(pa.array([0, 10, 20], pa.int32()), struct)
        )
    expected, found = read_transients(flat)[0], read_transients(other)[0]
    for name, values in expected.flat.items():
        np.testing.assert_array_equal(getattr(found, name), values)
    assert found.columns["id"].to_pylist() == ["a", "b"]


def test_zero_points():
    plain = read_transients(table())[0].flux
    given = read_transients(table(), zero_point=25.0)[0].flux
    np.testing.assert_allclose(given, plain * 10, rtol=1e-6)
    column = read_transients(table(zero_point=[27.5, 31.4]))[0].flux
    np.testing.assert_allclose(column[:10], plain[:10])
    np.testing.assert_allclose(column[10:], plain[10:] * 10 ** (-0.4 * 3.9), rtol=1e-5)
    _, ledger = read_transients(table())
    assert "fluxes with zero point 27.5 (taken for FLUXCAL)" in ledger.notes


def test_magnitudes_in_columns_of_that_name():
    magnitudes = {
        "flux": None,
        "flux_err": None,
        "mag": [[20.0] * 9 + [None]] * 2,
        "magerr": [[0.1] * 10] * 2,
    }
    transients, ledger = read_transients(table(**magnitudes))
    np.testing.assert_allclose(transients.flux, 1000.0, rtol=1e-6)
    np.testing.assert_allclose(transients.fluxerr, 92.103, rtol=1e-4)
    assert ledger.quarantined == (0, 2)
    assert "AB magnitudes turned into fluxes" in ledger.notes


# Bad input: the stated rule or one clear line, and nothing is lost


def reasons(ledger):
    found: dict[str, int] = {}
    for row in ledger.rows:
        found[row.reason] = found.get(row.reason, 0) + row.observations
    assert ledger.read == tuple(
        sum(parts) for parts in zip(ledger.kept, ledger.filtered, ledger.quarantined, strict=True)
    )
    return found


def test_negative_fluxes_and_non_detections_are_measurements():
    time, band, flux, fluxerr = rising()
    flux = [*flux[:8], -30.0, 1.0]
    transients, ledger = read_transients(table(flux=[flux] * 2))
    assert transients.flux.min() == -30 and reasons(ledger) == {}


def test_unsorted_and_repeated_epochs():
    time, band, flux, fluxerr = rising()
    order = [3, 1, 2, 0, 9, 8, 7, 6, 5, 4]
    mixed = {
        "time": [[time[k] for k in order]] * 2,
        "band": [[band[k] for k in order]] * 2,
        "flux": [[flux[k] for k in order]] * 2,
    }
    transients, _ = read_transients(table(**mixed))
    expected, _ = read_transients(table())
    np.testing.assert_array_equal(transients.time, expected.time)
    np.testing.assert_array_equal(transients.flux, expected.flux)
    np.testing.assert_array_equal(transients.band, expected.band)
    twice = [time[0], time[0], time[0], *time[3:]]
    transients, ledger = read_transients(table(time=[twice] * 2))
    assert reasons(ledger) == {"repeated epoch": 2}  # points 0 and 2, both in g; 1 is in r
    np.testing.assert_array_equal(transients.flux[:2], np.float32(flux[:2]))


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("flux", np.nan, "flux missing or not finite"),
        ("flux", None, "flux missing or not finite"),
        ("flux", np.inf, "flux missing or not finite"),
        ("flux_err", 0.0, "flux error missing or not positive"),
        ("flux_err", -9.0, "flux error missing or not positive"),
        ("flux_err", None, "flux error missing or not positive"),
        ("band", None, "band missing"),
        ("band", " ", "band missing"),
        ("time", np.nan, "time missing or not finite"),
        ("time", -1e9, "time far outside any survey"),
    ],
)
def test_points_that_cannot_be_used(column, value, reason):
    values = table()[column].to_pylist()
    values[1][4] = value
    transients, ledger = read_transients(table(**{column: values}))
    assert reasons(ledger) == {reason: 1}
    assert transients.lengths.tolist() == [10, 9]


def test_objects_and_rows_without_any_band(tmp_path):
    transients, ledger = read_transients(table(band=[["ztfg"] * 10, [None] * 10]))
    assert transients.columns["id"].to_pylist() == ["a"]
    assert reasons(ledger) == {"nothing usable: band missing": 10}
    _, chosen = read_transients(table(band=[["ztfg"] * 9 + ["w"], [None] * 10]), band="ztfg")
    assert chosen.filtered == (0, 1) and chosen.quarantined == (1, 10)
    lines = ["id,mjd,flux,fluxerr,band", *(f"a,5800{k},{90 + k},9,ztfg" for k in range(5))]
    lines += ["a,58006,99,9,", "a,58007,99,9", "a,58008,99,9,9.5,ztfg"]
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n")
    _, ledger = read_transients(tmp_path / "x.csv")
    assert reasons(ledger) == {"band missing": 1, "line with the wrong number of values": 2}


def test_lists_that_do_not_pair_up_take_the_object_with_them():
    values = table()["flux"].to_pylist()
    values[0] = values[0][:-1]
    transients, ledger = read_transients(table(flux=values))
    assert transients.columns["id"].to_pylist() == ["b"]
    assert ledger.quarantined == (1, 10) and ledger.rows[0].object == "a"


def test_repeated_and_missing_ids():
    _, ledger = read_transients(table(object_id=["a", "a"]))
    assert ledger.quarantined == (1, 10)
    transients, ledger = read_transients(table(object_id=["a", None]))
    assert len(transients) == 1 and ledger.rows[0].reason == "no id"


def test_redshifts_that_are_none():
    transients, ledger = read_transients(table(redshift=[-9.0, 0.02], mwebv=[np.nan, -99.0]))
    assert transients.columns["redshift"].to_pylist() == [None, 0.02]
    assert transients.columns["mwebv"].to_pylist() == [None, None]
    assert "1 values of redshift 0 or below: set to null" in ledger.notes
    transients, ledger = read_transients(table(redshift=[0.0, -1.0], mwebv=[0.0, 0.1]))
    assert transients.columns["redshift"].to_pylist() == [None, None]
    assert transients.columns["mwebv"].to_pylist() == [0.0, 0.1]  # no dust is possible
    assert "2 values of redshift 0 or below: set to null" in ledger.notes


def test_a_label_is_one_text_everywhere():
    """Blanks around it, numbers and NaN are read alike where classes are made and where counted."""
    given = ["SNIa ", 3.0, float("nan"), " ", None, "nan", "SNIb/c"]
    found = [from_arrays([rising()], label=pa.array([label])).label[0] for label in given]
    assert found == ["SNIa", "3", None, None, None, None, "SNIb/c"]


def test_one_point_curves():
    short = {n: [[v[0][0]], v[1]] for n, v in table().to_pydict().items() if n in LISTS}
    transients, ledger = read_transients(table(**short))
    assert transients.lengths.tolist() == [1, 10] and reasons(ledger) == {}


LISTS = ("time", "band", "flux", "flux_err")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"band": [["ztfg", "w"] * 5] * 2}, ["table, column band", "unknown band 'w'", "ztfg"]),
        ({"band": None}, ["no column of bands"]),
        ({"flux_err": None}, ["a column flux but none of its errors", "columns.fluxerr"]),
        (
            {"flux": [[18.0, 19.5] * 5] * 2, "flux_err": [[0.05] * 10] * 2},
            ["look like magnitudes", "zero_point"],
        ),
        (
            {"flux": [[18.0, 19.5] * 4 + [99.0, -999.0]] * 2, "flux_err": [[0.05] * 10] * 2},
            ["values from 18 to 19.5", "look like magnitudes"],
        ),
        ({"time": [[2458000.5 + k for k in range(10)]] * 2}, ["do not fit mjd but jd"]),
        ({"object_id": None}, ["no column of ids"]),
        ({"band": ["ztfg", "ztfr"]}, ["column 'band' holds no lists"]),
    ],
)
def test_one_clear_line(changes, words):
    with pytest.raises(UserError) as error:
        read_transients(table(**changes))
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_magnitudes_of_one_object_among_others():
    flux, sigma = rising()[2].tolist(), [0.05] * 10
    mixed = {"flux": [flux, [18.0, 19.5] * 4 + [99.0, None]], "flux_err": [[10.0] * 10, sigma]}
    transients, ledger = read_transients(table(**mixed))
    assert transients.columns["id"].to_pylist() == ["a"]
    ((reason, count),) = reasons(ledger).items()
    assert reason.startswith("nothing usable: fluxes that look like magnitudes") and count == 10
    long = read_transients(table(**mixed, zero_point=[27.5, 27.5]))[0]
    assert long.lengths.tolist() == [10, 9]  # they are fluxes: someone says so


def test_one_or_two_points_that_may_be_magnitudes_are_named():
    short = {"time": [[58000.0], [58001.0]], "band": [["ztfg"]] * 2, "flux_err": [[0.1]] * 2}
    transients, ledger = read_transients(table(**short, flux=[[18.0], [350.0]]))
    assert len(transients) == 2 and reasons(ledger) == {}
    (note,) = [n for n in ledger.notes if "may hold magnitudes" in n]
    assert note.startswith("1 objects") and note.endswith(": a")


@pytest.mark.parametrize(
    ("flux", "error", "named"),
    [
        (np.linspace(9, 27, 10), 0.6, False),  # a deep field: 5 sigma at magnitude 26.2
        (np.linspace(9, 27, 10), 0.2, True),  # a telescope in space: S/N above 40, and it fades
        ([20.0] * 9 + [-0.1], 0.2, False),
        ([20.0] * 9 + [4.0], 0.2, False),
        ([20.0] * 9 + [120.0], 0.2, False),
    ],
)
def test_small_fluxes_are_fluxes(flux, error, named):
    small = {"flux": [rising()[2].tolist(), list(flux)], "flux_err": [[10.0] * 10, [error] * 10]}
    transients, ledger = read_transients(table(**small))
    assert transients.lengths.tolist() == [10, 10] and reasons(ledger) == {}
    assert any("may hold magnitudes" in note for note in ledger.notes) == named


def test_fluxes_that_look_like_magnitudes_are_taken_with_their_zero_point():
    faint = {"flux": [[18.0, 19.5] * 5] * 2, "flux_err": [[0.05] * 10] * 2}
    transients, _ = read_transients(table(**faint), zero_point=27.5)
    assert len(transients) == 2


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"format": "snanna"}, "unknown format 'snanna' .did you mean 'snana'"),
        ({"survey": "ztff"}, "unknown survey 'ztff'"),
        ({"band": "ztfg,blue"}, "band: unknown band 'blue'"),
        ({"columns": {"fluks": "flux"}}, "unknown key columns.fluks"),
        ({"columns": {"flux": "fluks"}}, "no column 'fluks' for flux"),
    ],
)
def test_choices_that_name_what_is_not_there(choices, words):
    with pytest.raises(UserError, match=words):
        read_transients(table(), **choices)


def test_letters_need_their_survey():
    letters = {"band": [["g", "r"] * 5] * 2}
    assert set(band_names(read_transients(table(**letters))[0])) == {"g", "r"}
    ztf, _ = read_transients(table(**letters), survey="ztf")
    assert set(band_names(ztf)) == {"ztfg", "ztfr"}


def test_a_column_says_whose_letters_the_bands_of_an_object_are(tmp_path):
    letters = {"band": [["g", "r"] * 5, ["g", "Y"] * 5], "survey": ["ZTF", "LSST"]}
    expected = ["ztfg", "ztfr"] * 5 + ["lsstg", "lssty"] * 5
    found, _ = read_transients(table(**letters))
    assert list(band_names(found)) == expected
    rows = [f"{o},5800{k},50,5,{b},{s}" for o, b, s in (("a", "r", "ZTF"), ("b", "Y", "LSST"),
            ("c", "r", ""), ("d", "r", "unheard of")) for k in range(3)]  # fmt: skip
    (tmp_path / "x.csv").write_text("\n".join(["id,mjd,flux,fluxerr,band,SURVEY", *rows]))
    found, _ = read_transients(tmp_path / "x.csv")
    assert list(band_names(found)[::3]) == ["ztfr", "lssty", "r", "r"]
    over, _ = read_transients(table(**letters | {"band": [["g", "r"] * 5] * 2}), survey="yse")
    assert set(band_names(over)) == {"ps1g", "ps1r"}
    with pytest.raises(UserError, match="unknown band 'Y'.*survey ZTF also writes g"):
        read_transients(table(**letters | {"survey": ["LSST", "ZTF"]}))


def test_a_folder_of_several_formats_in_one_account(tmp_path, shared):
    for path in (shared / "data/raw_samples/snana_dat").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    pq.write_table(table(), tmp_path / "t.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    (tmp_path / "empty.csv").write_text("")
    transients, ledger = read_transients(tmp_path)
    assert len(transients) == 6 and ledger.read == (8, 283)
    assert sorted(r.reason for r in ledger.rows if not r.observations)[1] == "empty file"
    assert reasons(ledger).keys() == {r.reason for r in ledger.rows}


def test_real_tables_balance(shared):
    """The account of each shared table; what is quarantined are repeated epochs."""
    expected = {"yse_dr1": 47738, "ztf_public": 57327, "literature": 41288}
    for name, observations in expected.items():
        transients, ledger = read_transients(shared / f"data/transient_{name}.parquet")
        assert ledger.read.observations == observations
        assert set(reasons(ledger)) <= {"repeated epoch"}
        assert len(transients) == ledger.read.objects == len(transients.star)
        assert str(transients.star[0]).startswith("G0")
