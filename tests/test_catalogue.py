"""Embeddings of a catalogue in a folder: shards, restarts, reconciliation."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_catalogue import BIG, DIM, EMBED, catalogue, object_rows, snapshot, untrained

import astro_jax
from astro_jax.data.table import to_table
from astro_jax.main import main
from astro_jax.units import plan, sha256, shard

ROWS, LOST = 120, 13  # of `catalogue`: rows, and those without a usable point


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("encoder") / "tiny.safetensors")


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    return catalogue(tmp_path_factory.mktemp("survey") / "in")


def words(encoder, survey, output, *more):
    paths = [f"--config.data.path={survey}", f"--config.output={output}"]
    return ["main", EMBED, f"--config.init={encoder}", *paths, "--config.rows_a_unit=20", *more]


@pytest.fixture(scope="module")
def whole(encoder, survey, tmp_path_factory):
    """Return the folder of an uninterrupted run in one shard."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert main(words(encoder, survey, folder)) == 0
    return folder


@pytest.fixture
def copy(whole, tmp_path):
    """Return a copy of that folder to spoil."""
    for name, content in snapshot(whole).items():
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "out"


def records(folder):
    return [json.loads(p.read_text()) for p in sorted((folder / "_manifest").glob("*.json"))]


def test_any_reader_of_parquet_takes_the_folder_as_one_table(whole, survey, encoder):
    table = pq.read_table(whole)
    assert table.schema.names == ["id", "band", "embedding"]
    kept = [k for k in range(ROWS) if k % 9 != 4]
    assert sorted(table["id"].to_pylist()) == [BIG + 2 * k for k in kept]
    curves, ledger = astro_jax.read_survey(str(survey))
    assert ledger.quarantined.objects == LOST == ROWS - len(kept)
    vectors = astro_jax.encode(astro_jax.load(encoder), to_table(curves))
    expected = dict(zip(curves.columns["id"].to_pylist(), vectors, strict=True))
    for row in table.to_pylist():
        assert len(row["embedding"]) == DIM
        np.testing.assert_allclose(row["embedding"], expected[row["id"]].mean(0), atol=1e-5)


def test_the_records_balance(whole):
    told = records(whole)
    assert len(told) == 6  # three files of two units
    assert sum(r["rows_in"] for r in told) == ROWS
    assert sum(r["quarantined"] for r in told) == LOST
    assert all(r["rows_in"] == r["rows_out"] + r["quarantined"] for r in told)
    reports = list((whole / "_quarantine").glob("*.csv"))
    rows = [row for path in reports for row in csv.DictReader(path.open(newline=""))]
    assert len(rows) == LOST and all("sentinel" in row["reason"] for row in rows)
    summary = json.loads((whole / "_reconciliation.json").read_text())
    assert summary["problems"] == [] and summary["rows_out"] == ROWS - LOST


def test_shards_in_any_order_make_the_same_folder(encoder, survey, whole, tmp_path, capsys):
    for number in (2, 0, 1):
        line = words(encoder, survey, tmp_path / "out", f"--config.shard={number}/3")
        assert not (tmp_path / "out" / "_reconciliation.json").exists()
        assert main(line) == 0
    told = capsys.readouterr().out
    assert "4 units of other shards are not yet" in told and "107 embeddings of step" in told
    assert snapshot(tmp_path / "out") == snapshot(whole)


def test_what_is_done_is_not_done_again(encoder, survey, whole, copy, capsys):
    times = {p: p.stat().st_mtime_ns for p in copy.glob("*.parquet")}
    gone, cut = sorted(times)[:2]
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-9])
    (copy / f".{gone.name}.77.tmp").write_text("of a killed process")
    assert main(words(encoder, survey, copy)) == 0
    assert "6 units, 4 done before" in capsys.readouterr().out
    changed = {p for p, time in times.items() if p.stat().st_mtime_ns != time}
    assert changed == {gone, cut} and snapshot(copy) == snapshot(whole)


def test_another_run_config_or_input_is_refused(encoder, survey, copy, tmp_path, capsys):
    other = untrained(tmp_path / "other.safetensors", seed=1)
    before = snapshot(copy)
    assert main(words(other, survey, copy)) == 1
    assert "run.sha256: " in capsys.readouterr().err
    assert main(words(encoder, survey, copy, "--config.pooling=none")) == 1
    assert "pooling: mean -> none" in capsys.readouterr().err
    record = sorted((copy / "_manifest").iterdir())[0]
    told = json.loads(record.read_text())
    record.write_text(json.dumps({**told, "settings": "0"}))
    assert main(words(encoder, survey, copy)) == 1
    assert "another run or config" in capsys.readouterr().err
    told["inputs"][0]["size"] += 1
    record.write_text(json.dumps(told))
    assert main(words(encoder, survey, copy)) == 1
    assert "changed since this unit was made" in capsys.readouterr().err
    record.write_bytes(before[f"_manifest/{record.name}"])
    assert snapshot(copy) == before


def spoil_null(path):
    table = pq.read_table(path)
    values = [None, *table["embedding"].to_pylist()[1:]]
    column = table.schema.field("embedding")
    pq.write_table(table.set_column(2, column, pa.array(values, column.type)), path)


def spoil_rows(path):
    pq.write_table(pq.read_table(path).slice(1), path)


@pytest.mark.parametrize(
    "spoil,message",
    [(spoil_null, "1 embeddings are null or not finite"), (spoil_rows, "in the record")],
)
def test_a_wrong_table_fails_the_reconciliation(encoder, survey, copy, spoil, message, capsys):
    path = sorted(copy.glob("*.parquet"))[0]
    spoil(path)
    record = copy / "_manifest" / f"{path.stem}.json"
    told = json.loads(record.read_text())
    record.write_text(json.dumps({**told, "sha256": sha256(path)}))
    assert main(words(encoder, survey, copy)) == 1
    err = capsys.readouterr().err
    assert message in err and path.name in err and err.count("error:") == 1


def test_a_key_in_two_files_and_a_unit_of_no_file(encoder, tmp_path, capsys):
    folder, out = catalogue(tmp_path / "in", 2), tmp_path / "out"
    pq.write_table(object_rows(10, 1), folder / "again.parquet")
    assert main(words(encoder, folder, out)) == 1
    err = capsys.readouterr().err
    assert f"{BIG + 20}, R is in the input more than once: units again-" in err
    (folder / "again.parquet").unlink()
    assert main(words(encoder, folder, out)) == 1
    assert "belongs to no file of the input" in capsys.readouterr().err
    for left in [*out.glob("again*"), *(out / "_manifest").glob("again*")]:
        left.unlink()
    assert main(words(encoder, folder, out)) == 0


def test_text_a_broken_file_and_a_band(encoder, tmp_path, capsys):
    folder = catalogue(tmp_path / "in", 1)
    for k in range(3):
        rows = "".join(f"{k},{50_000 + t},15.{t},V\n{k},{50_000 + t},16,R\n" for t in range(9))
        (folder / f"star_{k}.csv").write_text(f"id,mjd,mag,band\n{rows}")
    (folder / "cut.parquet").write_bytes((folder / "tile_0.parquet").read_bytes()[:500])
    assert main(words(encoder, folder, tmp_path / "out", "--config.data.band=R")) == 0
    told = records(tmp_path / "out")
    assert [sum(r[n] for r in told) for n in ("rows_in", "filtered", "quarantined")] == [47, 3, 5]
    assert set(pq.read_table(tmp_path / "out")["band"].to_pylist()) == {"R"}
    assert len(pq.read_table(tmp_path / "out")) == 39


def test_an_object_with_lists_of_bands_gives_a_row_a_band(encoder, tmp_path):
    table = object_rows(0, 9).drop_columns(["band"])
    names = pa.array([["g", "r"] * 6] * 9, pa.list_(pa.string()))
    (tmp_path / "in").mkdir()
    pq.write_table(table.append_column("filter", names), tmp_path / "in" / "x.parquet")
    assert main(words(encoder, tmp_path / "in", tmp_path / "out")) == 0
    (told,) = records(tmp_path / "out")
    assert (told["rows_in"], told["rows_out"], told["quarantined"]) == (18, 16, 2)
    assert pq.read_table(tmp_path / "out")["band"].to_pylist() == ["g", "r"] * 8


def test_units_follow_from_the_files_alone(survey, tmp_path):
    units = plan(str(survey), 20)
    assert [u.parts[0].groups for u in units] == [(0, 2), (2, 4)] * 3
    assert [u.rows for u in units] == [20] * 6 and units == plan(str(survey), 20)
    assert [u.parts[0].groups for u in plan(str(survey), 5)][:4] == [(k, k + 1) for k in range(4)]
    assert len({u.name for u in units} | {u.name for u in plan(str(survey), 40)}) == 9
    moved = tmp_path / "moved"
    survey_copy = catalogue(moved)
    assert [u.name for u in plan(str(survey_copy), 20)] == [u.name for u in units]


def test_an_output_inside_the_input_is_refused(encoder, survey, capsys):
    assert main(words(encoder, survey, survey / "out")) == 1
    assert "lies in --config.data.path" in capsys.readouterr().err and not (survey / "out").exists()


@pytest.mark.parametrize("word", ["3/3", "x", "1/0", "-1/2"])
def test_a_wrong_shard_is_one_line(encoder, survey, tmp_path, capsys, word):
    assert main(words(encoder, survey, tmp_path / "out", f"--config.shard={word}")) == 1
    err = capsys.readouterr().err
    assert "i from 0 to N - 1" in err and err.count("\n") == 1
    assert shard("") == (0, 1) and shard("2/3") == (2, 3)
