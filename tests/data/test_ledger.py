"""The account balances and is written whole."""

import csv

import pytest

from astro_jax.data.ledger import Count, Ledger, Quarantined, account_of_parts, opening

ROW = Quarantined("a.csv", "7", "R", 0, 3, "repeated epoch")
WHOLE = Quarantined("b.csv", "", "", 1, 0, "empty file")


def test_moving_rows_keeps_the_balance():
    ledger = opening(10, 100).filter(2, 20, "noise").filter(1, 5, "noise").quarantine([ROW, WHOLE])
    assert ledger.read == Count(10, 100)
    assert ledger.kept == Count(6, 72)
    assert ledger.filtered == Count(3, 25)
    assert ledger.quarantined == Count(1, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"read": Count(10, 99), "kept": Count(10, 100)},
        {"read": Count(9, 100), "kept": Count(10, 100)},
        {"read": Count(1, 1), "kept": Count(1, 1), "rows": (ROW,)},
        {"read": Count(0, 2), "kept": Count(0, -1), "rows": (ROW,)},
    ],
)
def test_an_account_that_does_not_balance_is_an_error(change):
    with pytest.raises(ValueError, match="do not balance"):
        Ledger(**change)


def test_filtering_more_than_there_is_is_an_error():
    with pytest.raises(ValueError, match="objects do not balance"):
        opening(2, 10).filter(3, 5, "noise")


def test_the_summary_names_counts_and_reasons():
    ledger = opening(10, 100_000).filter(2, 20, "white noise").quarantine([ROW, WHOLE])
    text = ledger.summary()
    lines = {s.split()[0]: s.split() for s in text.splitlines()[:4]}
    assert lines["read"][1:4:2] == ["10", "100,000"]
    assert lines["kept"][1:4:2] == ["7", "99,977"]
    assert lines["filtered"][1:4:2] == ["2", "20"]
    assert lines["quarantined"][1:4:2] == ["1", "3"]
    assert all(reason in text for reason in ("white noise", "repeated epoch", "empty file"))


def test_many_reasons_are_cut_short():
    rows = [ROW._replace(reason=f"reason {k}") for k in range(30)]
    text = opening(1, 1000).quarantine(rows).summary()
    assert len(text.splitlines()) < 15 and "and 25 more" in text


def test_the_quarantine_is_written_whole(tmp_path):
    path = tmp_path / "q.csv"
    odd = ROW._replace(object='a,"b"\n', reason="text; with, commas")
    opening(2, 10).quarantine([odd, WHOLE]).write(str(path))
    rows = list(csv.reader(path.open(newline="")))
    assert rows[0] == ["file", "object", "band", "objects", "observations", "reason", "fix"]
    assert rows[1] == ["a.csv", 'a,"b"\n', "R", "0", "3", "text; with, commas", rows[1][-1]]
    assert rows[2] == ["b.csv", "", "", "1", "0", "empty file", "get it again, or leave it out"]
    assert [p.name for p in tmp_path.iterdir()] == ["q.csv"]


def test_a_lost_row_of_a_part_costs_an_object_where_no_other_part_has_it():
    spectra = [
        Quarantined("s.fits", "7", "", 1, 0, "constant"),  # whose light curve is there
        *[Quarantined(f"{k}.fits", "9", "", 1, 0, "constant") for k in range(2)],  # one object
        *[Quarantined("none.fits", "", "", 1, 0, "no id")] * 2,  # two
    ]
    parts = {
        "curves": opening(4, 40).filter(1, 10, "band is not V").quarantine([ROW]),
        "spectra": opening(6, 0).quarantine(spectra).note("a remark"),
        "catalogue": opening(3, 0).quarantine([Quarantined("", "9", "", 1, 0, "unjoined")]),
    }
    ledger = account_of_parts(["5", "6", "7", "8"], parts, {"catalogue": "c.csv"})
    assert ledger.read == Count(8, 40) and ledger.kept == Count(4, 27)
    assert [row.objects for row in ledger.rows] == [0, 0, 1, 0, 1, 1, 0]
    assert [row.file for row in ledger.rows[::6]] == ["a.csv", "c.csv"]
    assert ledger.notes == (
        "curves: 4 rows read, 3 used, 1 filtered",
        "spectra: 6 rows read, 1 used, 5 quarantined",
        "catalogue: 3 rows read, 2 used, 1 quarantined",
        "a remark",
    )
