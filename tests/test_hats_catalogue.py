"""HATS catalogues through LSDB on Dask: every row accounted for, no null, no key twice."""

import importlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import toy_curves
from tiny_catalogue import BIG, DIM, EMBED, untrained

import astro_jax
from astro_jax.main import main

lsdb = pytest.importorskip("lsdb")
pd = pytest.importorskip("pandas")
npd = pytest.importorskip("nested_pandas")
ROWS = 60


def frame(nested: bool):
    """Return objects over the whole sky, every ninth without a usable point, in shuffled order."""
    rng = np.random.default_rng(0)
    curves = toy_curves(ROWS, 12)
    for k in range(4, ROWS, 9):
        curves[k][:, 1] = 99.999
    base = {
        "objectId": BIG + 2 * np.arange(ROWS),
        "ra": rng.uniform(0, 360, ROWS),
        "dec": rng.uniform(-60, 60, ROWS),
    }
    if not nested:
        lists = {
            name: pd.array(
                [c[:, k].tolist() for c in curves], pd.ArrowDtype(pa.list_(pa.float64()))
            )
            for k, name in enumerate(("mjd", "mag", "magerr"))
        }
        return npd.NestedFrame({**base, **lists})
    flat = np.concatenate(curves)
    points = pd.DataFrame(flat, columns=["mjd", "mag", "magerr"], index=np.repeat(range(ROWS), 12))
    return npd.NestedFrame(base).join_nested(points, "lightcurve")


@pytest.fixture(scope="module", params=["nested", "lists"])
def survey(request, tmp_path_factory):
    """Return the folder of a HATS catalogue of a dozen partitions."""
    folder = tmp_path_factory.mktemp(request.param) / "small"
    options = {"ra_column": "ra", "dec_column": "dec", "margin_threshold": None}
    made = lsdb.from_dataframe(frame(request.param == "nested"), partition_rows=10, **options)
    made.write_catalog(folder, catalog_name="small", as_collection=False, progress_bar=False)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("encoder") / "tiny.safetensors")


def words(encoder, survey, output, *more):
    paths = [f"--config.data.path={survey}", f"--config.output={output}"]
    return ["main", EMBED, f"--config.init={encoder}", *paths, *more]


def assert_whole(folder, encoder):
    """Compare rows, ids and values of a HATS catalogue of embeddings with the input."""
    found = lsdb.open_catalog(folder).compute()
    usable = [k for k in range(ROWS) if k % 9 != 4]
    assert sorted(found["objectId"].tolist()) == [BIG + 2 * k for k in usable]
    assert found["embedding"].isna().sum() == 0 and found.index.name == "_healpix_29"
    curves = toy_curves(ROWS, 12)
    run = astro_jax.load(encoder)
    expected = [vectors.mean(0) for vectors in astro_jax.encode(run, curves)]
    given = frame(True).set_index("objectId")
    for id, ra, vector in zip(found["objectId"], found["ra"], found["embedding"], strict=True):
        assert len(vector) == DIM and ra == given.loc[id, "ra"]
        np.testing.assert_allclose(np.array(vector), expected[(id - BIG) // 2], atol=1e-5)
    told = json.loads((folder / "_reconciliation.json").read_text())
    assert told["rows_in"] == ROWS and told["quarantined"] == ROWS - len(usable) == 7
    reports = [path.read_text() for path in (folder / "_quarantine").glob("*.csv")]
    assert sum(text.count("sentinel") for text in reports) == 7


def test_a_catalogue_in_one_process(survey, encoder, tmp_path, capsys):
    assert main(words(encoder, survey, tmp_path / "out")) == 0
    assert "53 embeddings of step 0 in the HATS catalogue" in capsys.readouterr().out
    assert_whole(tmp_path / "out", encoder)
    tables = sorted((tmp_path / "out" / "dataset").rglob("Npix=*.parquet"))
    times = [path.stat().st_mtime_ns for path in tables]
    assert main(words(encoder, survey, tmp_path / "out")) == 0  # finished: only reported
    assert [path.stat().st_mtime_ns for path in tables] == times


@pytest.mark.parametrize("survey", ["nested"], indirect=True)
def test_two_workers_and_a_spoiled_table(encoder, survey, tmp_path, capsys):
    folder = tmp_path / "out"
    line = words(encoder, survey, folder, "--config.dask.workers=2")
    assert main(line) == 0
    assert_whole(folder, encoder)
    spoiled = sorted((folder / "dataset").rglob("Npix=*.parquet"))[0]
    column = pq.read_table(spoiled)
    nulls = pa.nulls(len(column), column["embedding"].type)
    at = column.column_names.index("embedding")
    pq.write_table(column.set_column(at, "embedding", nulls), spoiled)
    assert main(words(encoder, survey, folder)) == 1
    assert "embeddings are null" in capsys.readouterr().err


def test_a_collection_with_bands_in_its_light_curves(encoder, tmp_path):
    objects = frame(True)
    objects["lightcurve.band"] = np.tile(["g", "r"], 6 * ROWS)
    options = {"ra_column": "ra", "dec_column": "dec", "margin_threshold": None}
    made = lsdb.from_dataframe(objects, partition_rows=30, **options)
    made.write_catalog(tmp_path / "in", catalog_name="small", progress_bar=False)
    assert (tmp_path / "in" / "collection.properties").exists()
    assert main(words(encoder, tmp_path / "in", tmp_path / "out")) == 0
    found = lsdb.open_catalog(tmp_path / "out").compute()
    assert sorted(found["band"]) == ["g"] * 53 + ["r"] * 53
    assert found["embedding"].isna().sum() == 0 and found["objectId"].nunique() == 53


@pytest.mark.parametrize("survey", ["nested"], indirect=True)
def test_a_killed_write_goes_on(survey, encoder, tmp_path, monkeypatch):
    """The third partition dies after its histogram, before it is marked as done."""
    to_hats = importlib.import_module("lsdb.io.to_hats")
    marked, mark = [], to_hats.write_done_pixel

    def dying(folder, pixel):
        if len(marked) == 2:
            raise KeyboardInterrupt
        marked.append(pixel)
        mark(folder, pixel)

    monkeypatch.setattr(to_hats, "write_done_pixel", dying)
    assert main(words(encoder, survey, tmp_path / "out")) == 75
    monkeypatch.setattr(to_hats, "write_done_pixel", mark)
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("Npix=*.parquet")}
    assert len(written) == 3
    assert main(words(encoder, survey, tmp_path / "out")) == 0
    assert sum(path.stat().st_mtime_ns == time for path, time in written.items()) == 2
    assert_whole(tmp_path / "out", encoder)


@pytest.mark.parametrize(
    "change,message",
    [
        ("--config.shard=0/2", "config.dask"),
        ("--config.pooling=none", "only config.pooling=mean"),
        ("--config.data.columns.mag=flux", "flux"),
    ],
)
@pytest.mark.parametrize("survey", ["nested"], indirect=True)
def test_mistakes_are_one_line(survey, encoder, tmp_path, capsys, change, message):
    assert main(words(encoder, survey, tmp_path / "out", change)) == 1
    err = capsys.readouterr().err
    assert message in err and err.count("error:") == 1 and "Traceback" not in err
