"""The one way in: paths, choices, and the balance for any table whatever."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astro_jax.data.clean import REASONS
from astro_jax.data.read import read_survey
from astro_jax.errors import UserError

TEXT = "id,mjd,mag,magerr\n{0},50000.5,15.0,0.1\n{0},50001.5,15.1,0.1\n"


@pytest.fixture
def folder(tmp_path):
    """Return a folder with three files at two depths, one hidden and one of our own reports."""
    (tmp_path / "deep").mkdir()
    for k, name in enumerate(["a.csv", "b.csv", "deep/c.csv", ".hidden.csv"]):
        (tmp_path / name).write_text(TEXT.format(k))
    (tmp_path / "x.parquet.quarantine.csv").write_text("file,object\n")
    return tmp_path


def ids(path) -> list:
    return read_survey(str(path))[0].columns["id"].to_pylist()


def test_a_file_a_glob_and_a_folder(folder):
    assert ids(folder / "b.csv") == [1]
    assert ids(folder / "*.csv") == [0, 1]
    assert ids(folder / "**/*.csv") == [0, 1, 2]
    assert ids(folder) == [0, 1, 2]
    assert read_survey(bytes(folder / "b.csv"))[0].columns["id"].to_pylist() == [1]


def test_a_file_name_with_brackets_is_no_glob(tmp_path):
    (tmp_path / "a[1].csv").write_text(TEXT.format(4))
    assert ids(tmp_path / "a[1].csv") == [4]


@pytest.mark.parametrize(
    "path,message",
    [
        ("a.csvv", "no such file or folder: .*did you mean .*a.csv"),
        ("dep", "no such file or folder: .*did you mean .*deep"),
        ("dep/c.csv", "no such file or folder: .*did you mean .*deep"),
        ("*.fits", "no file matches"),
        ("empty", "no files in the folder"),
    ],
)
def test_a_path_without_files_is_an_error(folder, path, message):
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match=message) as error:
        read_survey(str(folder / path))
    assert "\n" not in str(error.value)


def test_bands_are_chosen_and_counted(tmp_path):
    rows = [f"1,{50000 + k}.5,15,{'grrr'[k]}" for k in range(4)]
    (tmp_path / "a.csv").write_text("\n".join(["id,mjd,mag,band", *rows]))
    for choice in ("r", ["r"], ("r",)):
        curves, ledger = read_survey(str(tmp_path), band=choice)
        assert curves.columns["band"].to_pylist() == ["r"] and len(curves.time) == 3
        assert tuple(ledger.read) == (2, 4) and tuple(ledger.filtered) == (1, 1)
        assert not ledger.rows
    assert len(read_survey(str(tmp_path), band="g,r")[0]) == 2
    with pytest.raises(UserError, match="no band 'i'; bands are g, r"):
        read_survey(str(tmp_path), band="i")


def test_a_band_of_a_survey_without_bands_is_an_error(folder):
    with pytest.raises(UserError, match="no column of bands"):
        read_survey(str(folder), band="V")


@pytest.mark.parametrize("prefix", ["", "MACHO_"])
@pytest.mark.parametrize("mark", [".", "-"])
def test_fields_are_chosen(tmp_path, prefix, mark):
    names = [prefix + mark.join(n) for n in (("1", "2", "3"), ("10", "2", "3"), ("11", "2", "3"))]
    text = "id,mjd,mag\n" + "".join(f"{n},50000.5,15\n" for n in names)
    (tmp_path / "a.csv").write_text(text)
    curves, ledger = read_survey(str(tmp_path), fields=[1, "10"])
    assert curves.columns["id"].to_pylist() == names[:2] and tuple(ledger.filtered) == (1, 1)
    with pytest.raises(UserError, match="fields are 1, 10, 11"):
        read_survey(str(tmp_path), fields=[7])


def test_repeated_keys_over_files_are_quarantined_with_their_file(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(TEXT.format(5))
    curves, ledger = read_survey(str(tmp_path))
    assert len(curves) == 1
    (row,) = ledger.rows
    assert row.file.endswith("b.csv") and row[1:5] == ("5", "", 1, 2)
    assert row.reason.startswith("repeated key")


def test_order_of_files_and_rows_is_kept(tmp_path):
    (tmp_path / "b.csv").write_text("id,mjd,mag\n9,50000.5,15\n3,50000.5,15\n9,50001.5,15\n")
    (tmp_path / "a.csv").write_text("id,mjd,mag\n8,50000.5,15\n")
    assert ids(tmp_path) == [8, 9, 3]


VALUES = st.one_of(
    st.floats(width=32), st.sampled_from([15.0, -99.0, 99.999, np.nan, 0.0, 9.999]), st.none()
)
TIMES = st.one_of(
    st.integers(0, 5).map(float), st.floats(-1e6, 1e6), st.sampled_from([np.nan, np.inf]), st.none()
)


@st.composite
def tables(draw):
    """Draw an object table with any defects."""
    size = draw(st.integers(1, 6))
    rows = []
    for _ in range(size):
        n = draw(st.integers(0, 5))
        m = draw(st.sampled_from([n, n, n, n + 1]))
        rows.append(
            {
                "id": draw(st.sampled_from(["a", "b", "c", None])),
                "band": draw(st.sampled_from(["R", "B", None])),
                "time": draw(st.one_of(st.none(), st.lists(TIMES, min_size=n, max_size=n))),
                "mag": draw(st.lists(VALUES, min_size=m, max_size=m)),
                "magerr": draw(st.one_of(st.none(), st.lists(VALUES, min_size=n, max_size=n))),
            }
        )
    doubles = pa.list_(pa.float64())
    names = [("id", pa.string()), ("band", pa.string()), ("time", doubles), ("mag", doubles)]
    return pa.Table.from_pylist(rows, pa.schema([*names, ("magerr", doubles)]))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(table=tables(), band=st.sampled_from([None, "R"]))
def test_rows_in_are_rows_kept_filtered_and_quarantined(tmp_path, table, band):
    whole = pa.table({"id": ["ok"], "band": ["R"], "time": [[1.0]], "mag": [[15.0]]})
    table = pa.concat_tables([table, whole], promote_options="permissive")
    pq.write_table(table, tmp_path / "a.parquet")
    curves, ledger = read_survey(str(tmp_path / "a.parquet"), band=band)
    lengths = [len(t or ()) for t in table["time"].to_pylist()]
    assert tuple(ledger.read) == (table.num_rows, sum(lengths))
    left = {"objects": len(curves), "observations": len(curves.time)}
    for name, kept in left.items():
        gone = sum(getattr(p, name) for p in (*ledger.drops, *ledger.rows))
        assert getattr(ledger.read, name) == kept + gone
    keep = [band in (None, b) for b in table["band"].to_pylist()]
    assert ledger.filtered.objects == len(keep) - sum(keep)
    assert all(r.observations > 0 or r.objects for r in ledger.rows)
    known = [r for r in REASONS if r] + ["empty curve", "repeated key"]
    assert all(any(k in row.reason for k in known) for row in ledger.rows)
    check_clean(curves)


def check_clean(curves):
    """Check what every reader promises."""
    assert np.isfinite(curves.time).all() and np.isfinite(curves.mag).all()
    assert not (np.abs(curves.mag) >= 90).any() and not (curves.magerr <= 0).any()
    assert (curves.lengths > 0).all()
    row = np.repeat(np.arange(len(curves)), curves.lengths)
    assert (np.diff(curves.time)[np.diff(row) == 0] > 0).all()
    pairs = list(
        zip(curves.columns["id"].to_pylist(), curves.columns["band"].to_pylist(), strict=True)
    )
    assert len(set(pairs)) == len(pairs) and None not in {i for i, _ in pairs}


CELLS = st.one_of(
    st.sampled_from(
        ["15.0", "50000.5", "-99", ">16.4", "nan", "", "x", '"', "1e400", "#", "9.999"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=4),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    lines=st.lists(st.lists(CELLS, max_size=6), max_size=8), mark=st.sampled_from([",", " ", ";"])
)
def test_any_text_gives_curves_or_one_line_of_error(tmp_path, lines, mark):
    body = "\n".join(mark.join(cells) for cells in lines)
    (tmp_path / "a.csv").write_bytes(f"id{mark}mjd{mark}mag\n{body}".encode())
    (tmp_path / "ok.csv").write_text("id,mjd,mag,band\nok,50000.5,15.0,R\n")
    try:
        curves, ledger = read_survey(str(tmp_path))
    except UserError as error:
        assert "\n" not in str(error)
        return
    assert "ok" in curves.columns["id"].to_pylist()
    assert ledger.kept == (len(curves), len(curves.time))
    check_clean(curves)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    junk=st.binary(max_size=400), name=st.sampled_from(["a.csv", "a.parquet", "a.record", "a.gz"])
)
def test_any_bytes_give_one_line_of_error_or_curves(tmp_path, junk, name):
    for head in (
        b"",
        b"PAR1",
        b"\x1f\x8b",
        b"<VOSOURCE>",
        b"#Field Tile Seq\n",
        b"# star: erosid\n",
    ):
        (tmp_path / name).write_bytes(head + junk)
        try:
            _, ledger = read_survey(str(tmp_path / name))
        except UserError as error:
            assert "\n" not in str(error) and name in str(error)
        else:
            assert ledger.kept.objects


def test_columns_of_a_known_format_cannot_be_chosen(tmp_path):
    file = tmp_path / "OGLE-LMC-CEP-0001.dat"
    file.write_text("".join(f"{2000.5 + k} 15.{k:03d} 0.010\n" for k in range(20)))
    _, ledger = read_survey(str(file))
    assert "format ogle: 1 file" in ledger.notes
    with pytest.raises(UserError, match="format ogle are known: label=kind cannot be chosen"):
        read_survey(str(file), columns={"label": "kind"})


def test_fields_in_words_are_an_error(tmp_path):
    (tmp_path / "a.csv").write_text("id,mjd,mag\n1.2.3,50000.5,15\n")
    with pytest.raises(UserError, match="MACHO fields are numbers"):
        read_survey(tmp_path / "a.csv", fields=("LMC",))
