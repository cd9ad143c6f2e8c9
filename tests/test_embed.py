"""The table of embeddings."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import ROOT, WIDTH, toy_curves

import astro_jax
from astro_jax.data.curves import from_arrays
from astro_jax.data.table import write_table
from astro_jax.main import main

BIG = 2**53 + 1  # float64 would make it 2**53


def embed(*words: str) -> int:
    return main(["main", f"--config={ROOT}/configs/embed.py", *map(str, words)])


@pytest.fixture
def survey(tmp_path):
    """Return a table whose second row has one point and whose ids no float64 can hold."""
    curves = [*toy_curves(2, 50), toy_curves(1, 1)[0]]
    path = tmp_path / "x.parquet"
    write_table(from_arrays(curves, ids=[BIG, BIG + 2, 7], band=["R", "R", "B"]), str(path))
    return path, curves


def words_of(finished, survey, output):
    return (
        f"--config.init={finished}",
        f"--config.data.path={survey}",
        f"--config.output={output}",
    )


def test_the_mean_over_observations(finished, survey, tmp_path, capsys):
    path, curves = survey
    assert embed(*words_of(finished, path, tmp_path / "new" / "e.parquet")) == 0
    assert "3 embeddings of step" in capsys.readouterr().out
    table = pq.read_table(tmp_path / "new" / "e.parquet")
    assert table.schema.names == ["id", "band", "embedding"]
    assert table.schema.field("id").type == pa.int64()
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), WIDTH)
    assert table["id"].to_pylist() == [BIG, BIG + 2, 7]
    assert table["band"].to_pylist() == ["R", "R", "B"]
    expected = [v.mean(0) for v in astro_jax.encode(astro_jax.load(finished), curves)]
    np.testing.assert_allclose(np.array(table["embedding"].to_pylist()), expected, atol=1e-5)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["e.parquet"]


def test_one_vector_an_observation(finished, survey, tmp_path):
    path, curves = survey
    words = words_of(finished, path, tmp_path / "e.parquet")
    assert embed(*words, "--config.pooling=none") == 0
    table = pq.read_table(tmp_path / "e.parquet")
    assert table.schema.field("embedding").type == pa.large_list(pa.list_(pa.float32(), WIDTH))
    vectors = astro_jax.encode(astro_jax.load(finished), curves)
    got = table["embedding"].to_pylist()
    assert [len(rows) for rows in got] == [50, 50, 1]
    np.testing.assert_allclose(np.array(got[1]), vectors[1], atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_pieces_of_a_survey_give_the_same_table(finished, survey, tmp_path, monkeypatch, pooling):
    for size in (2, 500):
        monkeypatch.setattr("astro_jax.embed.AT_ONCE", {"mean": size, "none": size})
        monkeypatch.setattr("astro_jax.data.pieces.ROWS", size)
        words = words_of(finished, survey[0], tmp_path / f"{size}.parquet")
        assert embed(*words, f"--config.pooling={pooling}") == 0
    one, other = (pq.read_table(tmp_path / f"{size}.parquet") for size in (2, 500))
    assert one.schema == other.schema and one["id"] == other["id"]
    flat = [np.concatenate([np.ravel(x) for x in t["embedding"].to_pylist()]) for t in (one, other)]
    np.testing.assert_allclose(*flat, atol=1e-5)


def test_without_a_band_there_is_no_column_of_bands(finished, tmp_path):
    write_table(from_arrays(toy_curves(2), ids=["a", "b"]), str(tmp_path / "x.parquet"))
    assert embed(*words_of(finished, tmp_path / "x.parquet", tmp_path / "e.parquet")) == 0
    table = pq.read_table(tmp_path / "e.parquet")
    assert table.schema.names == ["id", "embedding"] and table["id"].to_pylist() == ["a", "b"]


def test_quarantined_rows_are_reported_and_exit_code_0(finished, tmp_path):
    (tmp_path / "x.csv").write_text("id,mjd,mag\na,50000.5,15\na,50001.5,15\nb,50000.5,99.999\n")
    assert embed(*words_of(finished, tmp_path / "x.csv", tmp_path / "e.parquet")) == 0
    assert pq.read_table(tmp_path / "e.parquet")["id"].to_pylist() == ["a"]
    assert "sentinel" in (tmp_path / "e.parquet.quarantine.csv").read_text()


@pytest.mark.parametrize(
    "change,message",
    [
        ("--config.init=", "--config.init=RUN"),
        ("--config.init=bass", "'bass'"),
        ("--config.output=", "--config.output=FILE.parquet"),
        ("--config.pooling=max", "give mean or none"),
        ("--config.step=newest", "'best' or 'last'"),
        ("--config.data.path=nowhere.parquet", "nowhere.parquet"),
        ("--config.batch_size=-1", "must be at least 0"),
        ("--config.output=/", "holds other files"),
        (f"--config.output={__file__}", "is no folder"),
        ("--config.shard=0/2", "needs a folder"),
        (f"--config.output={__file__}/e.parquet", "is no folder"),
    ],
)
def test_mistakes_are_one_line(finished, survey, tmp_path, capsys, change, message):
    output = tmp_path / "e.parquet"
    assert embed(*words_of(finished, survey[0], output), change) == 1
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not output.exists()
