"""A survey read in pieces is the survey read at once."""

import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import toy_curves

from astro_jax import defaults
from astro_jax.data.curves import from_arrays
from astro_jax.data.ledger import merged
from astro_jax.data.pieces import ahead, survey_pieces
from astro_jax.data.source import load_curves
from astro_jax.data.table import to_table, write_table
from astro_jax.errors import UserError


@pytest.fixture(autouse=True)
def three_rows(monkeypatch):
    monkeypatch.setattr("astro_jax.data.pieces.ROWS", 3)


def config_of(path, **data):
    config = defaults.training("")
    config.data = defaults.source()
    config.data.update({"path": str(path), **data})
    return config


def survey():
    """Return eight rows: one key a second time far behind, one without id, one without a point."""
    curves = toy_curves(8, 12)
    curves[1][4, 1] = np.nan
    curves[6][:, 1] = 99.999
    table = to_table(from_arrays(curves, ids=["a", "b", "c", "d", "e", "a", "f", "g"]))
    ids = pa.array(["a", "b", None, "d", "e", "a", "f", "g"])
    return table.set_column(table.column_names.index("id"), "id", ids)


def test_pieces_are_the_whole(tmp_path):
    pq.write_table(survey(), tmp_path / "x.parquet")
    config = config_of(tmp_path / "x.parquet")
    pieces = list(survey_pieces(config))
    assert len(pieces) == 3
    whole, ledger = load_curves(config)
    for name in ("time", "mag", "magerr"):
        joined = np.concatenate([getattr(curves, name) for curves, _ in pieces])
        np.testing.assert_array_equal(joined, getattr(whole, name))
    ids = [id for curves, _ in pieces for id in curves.columns["id"].to_pylist()]
    assert ids == whole.columns["id"].to_pylist() == ["a", "b", "d", "e", "g"]
    account = merged(account for _, account in pieces)
    assert account.read == ledger.read and account.kept == ledger.kept
    assert sorted(account.rows) == sorted(ledger.rows) and account.read.objects == 8


def test_a_folder_with_a_broken_file(tmp_path):
    write_table(from_arrays(toy_curves(4), ids=list("abcd")), str(tmp_path / "1.parquet"))
    write_table(from_arrays(toy_curves(4), ids=list("defg")), str(tmp_path / "2.parquet"))
    data = bytearray((tmp_path / "2.parquet").read_bytes())
    data[40:400] = bytes(360)  # the pages, not the footer
    (tmp_path / "2.parquet").write_bytes(bytes(data))
    pieces = list(survey_pieces(config_of(tmp_path)))
    account = merged(account for _, account in pieces)
    assert [c.columns["id"].to_pylist() for c, _ in pieces if len(c)] == [list("abc"), ["d"]]
    (row,) = account.rows
    assert row.file.endswith("2.parquet") and account.read.objects == 5


def test_keys_that_python_hashes_alike_are_not_the_same(tmp_path):
    curves = from_arrays(toy_curves(6), ids=[-1, 1, 2, -2, 3, 4])
    write_table(curves, str(tmp_path / "x.parquet"))
    assert hash(-1) == hash(-2)
    pieces = list(survey_pieces(config_of(tmp_path / "x.parquet")))
    assert [len(curves) for curves, _ in pieces] == [3, 3]


def test_what_is_chosen_from_or_has_other_layouts_is_one_piece(tmp_path):
    path = tmp_path / "x.parquet"
    write_table(from_arrays(toy_curves(7), ids=range(7), band=["R"] * 7), str(path))
    assert len(list(survey_pieces(config_of(path)))) == 3
    assert len(list(survey_pieces(config_of(path, band="R")))) == 1
    (tmp_path / "y.csv").write_text("id,mjd,mag\na,50000.5,15\na,50001.5,15\n")
    assert len(list(survey_pieces(config_of(tmp_path / "y.csv")))) == 1
    assert len(list(survey_pieces(config_of(tmp_path)))) == 1
    ((simulated, _),) = survey_pieces(config_of("", simulate={"stars": 4, "survey": "macho"}))
    assert len(simulated) == 8


def test_nothing_usable(tmp_path):
    curves = [np.array([[50_000.0, np.nan]])] * 4
    write_table(from_arrays(curves, ids=range(4)), str(tmp_path / "x.parquet"))
    with pytest.raises(UserError, match="nothing usable in .*x.parquet"):
        list(survey_pieces(config_of(tmp_path / "x.parquet")))


def test_the_next_item_is_made_meanwhile():
    made = threading.Event()

    def items():
        yield 1
        made.set()
        yield 2
        raise ValueError("broken")

    found = ahead(items())
    assert next(found) == 1 and made.wait(10)
    assert next(found) == 2
    with pytest.raises(ValueError, match="broken"):
        next(found)
