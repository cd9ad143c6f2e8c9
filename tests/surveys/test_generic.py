"""Tables of unknown origin: separators, headers, aliases, and columns named by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from astro_jax.data.read import read_survey
from astro_jax.errors import UserError

ROWS = [("b", 50002.5, 15.2, 0.3), ("a", 50001.5, 14.0, 0.1), ("b", 50000.5, 15.0, 0.2)]


def check(curves):
    """Check that the curves are those of ROWS."""
    assert curves.columns["id"].to_pylist() == ["b", "a"]
    np.testing.assert_array_equal(curves.time, [50000.5, 50002.5, 50001.5])
    np.testing.assert_array_equal(curves.mag, np.float32([15.0, 15.2, 14.0]))
    np.testing.assert_array_equal(curves.magerr, np.float32([0.2, 0.3, 0.1]))


@pytest.mark.parametrize("mark", [",", ";", "\t", "|", "  ", " \t ", ", "])
def test_any_separator(tmp_path, mark):
    lines = [mark.join(map(str, row)) for row in [("id", "mjd", "mag", "magerr"), *ROWS]]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    check(read_survey(str(tmp_path))[0])


@pytest.mark.parametrize(
    "header",
    [
        "id mjd mag magerr",
        "ObjID MJD Mag e_mag",
        "object_id hmjd magnitude mag_err",
        "oid mjd mag magerr",
        "source_id mjd m dm",
        "Star_ID MJD[d] mag[AB] err",
        "name mjd magpsf sigmapsf",
        '"ID" "MJD" "MAG" "MAG_ERROR"',
    ],
)
def test_known_names_are_found_and_told(tmp_path, header):
    lines = [header.replace(" ", ",")] + [",".join(map(str, row)) for row in ROWS]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    curves, ledger = read_survey(str(tmp_path))
    check(curves)
    words = header.replace('"', "").split()
    told = f"columns: id={words[0]}, time={words[1]}, mag={words[2]}, magerr={words[3]}"
    assert told in ledger.summary()


def test_a_header_in_a_comment(tmp_path):
    text = "# made by hand\n# id mjd mag magerr\n" + "\n".join(" ".join(map(str, r)) for r in ROWS)
    (tmp_path / "a.dat").write_text(text)
    check(read_survey(str(tmp_path))[0])


def test_columns_by_hand_win(tmp_path):
    text = "id,who,mjd,when,mag,bright,sig\n0,b,1,50002.5,9,15.2,0.3\n"
    (tmp_path / "a.csv").write_text(text)
    columns = {"id": "who", "time": "when", "mag": "bright", "magerr": "sig", "band": ""}
    curves, _ = read_survey(str(tmp_path), columns=columns, time_format="mjd")
    assert curves.columns.to_pylist() == [{"id": "b"}]
    assert (curves.time[0], curves.mag[0]) == (50002.5, np.float32(15.2))


def test_columns_by_position_without_header(tmp_path):
    (tmp_path / "a.txt").write_text("7 x 50002.5 15.2\n7 x 50003.5 15.3\n")
    curves, _ = read_survey(
        str(tmp_path),
        columns={"id": "col1", "time": "col3", "mag": "col4", "band": "col2"},
        time_format="mjd",
    )
    assert curves.columns.to_pylist() == [{"id": 7, "band": "x"}] and len(curves.time) == 2


def test_no_header_is_time_magnitude_error_of_one_object(tmp_path):
    (tmp_path / "star 7.txt").write_text("2450002.5 15.2 0.1\n2450003.5 15.3 0.2\n")
    curves, ledger = read_survey(str(tmp_path))
    assert curves.columns["id"].to_pylist() == ["star 7"]
    np.testing.assert_array_equal(curves.time, [50002.0, 50003.0])
    assert "times read as jd" in ledger.summary()


def test_a_wrong_column_is_an_error_with_a_suggestion(tmp_path):
    (tmp_path / "a.csv").write_text("id,mjd,mag\n1,50000.5,15\n")
    with pytest.raises(UserError, match="a.csv: no column 'mjdd' for time.*did you mean 'mjd'"):
        read_survey(str(tmp_path), columns={"time": "mjdd"})
    with pytest.raises(UserError, match=r"unknown key columns.magg.*did you mean 'mag'"):
        read_survey(str(tmp_path), columns={"magg": "mag"})


def test_two_bands_give_a_row_each_and_scalars_follow(tmp_path):
    (tmp_path / "a.csv").write_text(
        "id,mjd,mag,filter,class,ra,dec,period,star\n"
        "1,50000.5,15,g,RRAB,10.5,-3,0.5,s1\n1,50000.5,16,r,RRAB,10.5,-3,0.5,s1\n"
        "2,50000.5,15,g,,11.5,-4,,s2\n"
    )
    curves, _ = read_survey(str(tmp_path))
    common = {"label": "RRAB", "ra": 10.5, "dec": -3.0, "period": 0.5, "star": "s1"}
    rows = curves.columns.to_pylist()
    assert rows[0] == {"id": 1, "band": "g", **common}
    assert rows[1] == {"id": 1, "band": "r", **common}
    assert rows[2]["label"] is None and np.isnan(rows[2]["period"])
    assert list(curves.star) == ["s1", "s1", "s2"]


def test_a_long_parquet_table(tmp_path):
    columns = list(zip(*ROWS, strict=True))
    names = ["objectid", "mjd", "mag", "magerr"]
    pq.write_table(pa.table(dict(zip(names, columns, strict=True))), tmp_path / "a.parquet")
    check(read_survey(str(tmp_path))[0])


def test_ids_of_numbers_and_of_text_become_text(tmp_path):
    (tmp_path / "a.csv").write_text("id,mjd,mag\n9007199254740993,50000.5,15\n")
    (tmp_path / "b.csv").write_text("id,mjd,mag\nx,50000.5,15\n")
    curves, _ = read_survey(str(tmp_path))
    assert curves.columns["id"].to_pylist() == ["9007199254740993", "x"]


def test_a_million_points_in_one_file(tmp_path):
    rng = np.random.default_rng(1)
    time = 50000 + np.sort(rng.uniform(0, 3000, 1_000_000))
    table = pa.table({"mjd": time, "mag": rng.normal(15, 1, 1_000_000), "magerr": time * 0 + 0.1})
    pa_csv.write_csv(table, tmp_path / "big.csv")
    curves, ledger = read_survey(str(tmp_path / "big.csv"))
    assert len(curves) == 1 and len(curves.time) + ledger.quarantined.observations == 1_000_000
    assert np.array_equal(curves.time, np.unique(time))


def test_a_thousand_small_files(tmp_path):
    for k in range(1000):
        (tmp_path / f"OGLE-LMC-CEP-{k:04}.dat").write_text(
            f"2171.5 15.{k:03} 0.1\n2172.5 15.1 0.1\n"
        )
    curves, ledger = read_survey(str(tmp_path))
    assert tuple(ledger.kept) == (1000, 2000)
    assert curves.columns["id"].to_pylist()[17] == "OGLE-LMC-CEP-0017"
    assert curves.mag[2 * 17] == np.float32(15.017)


def test_numbers_that_describe_an_object_are_carried(tmp_path):
    lines = ["id,mjd,mag,seeing,logg,ccd,teff"]
    for k, (id, mjd, mag, _) in enumerate([*ROWS, ("c", 50000.5, 15.0, 0.1)]):
        own = {"a": "2.5,A,", "b": "4.25,B,5000", "c": ",A,"}[id]
        lines.append(f"{id},{mjd},{mag},{1 + k},{own}")
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines))
    columns = read_survey(str(path))[0].columns
    assert columns.column_names == ["id", "logg", "teff"]  # seeing changes, ccd is no number
    told = dict(zip(columns["id"].to_pylist(), columns["logg"].to_pylist(), strict=True))
    assert told["a"] == 2.5 and told["b"] == 4.25 and not np.isfinite(told["c"])
    path.write_text("\n".join(lines).replace("c,50000.5", "b,50003.5"))  # empty is no change
    assert read_survey(str(path))[0].columns.column_names == ["id", "logg", "teff"]
    path.write_text("\n".join(lines).replace("a,50001.5", "b,50003.5"))
    assert read_survey(str(path))[0].columns.column_names == ["id", "teff"]
