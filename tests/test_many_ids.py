"""Ids come out as they went in: whole numbers above 2^53, leading zeros, any script."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from tiny import LABELLED, ROOT

from astro_jax.main import main

FEW, MANY, POINTS = 1000, 500_000, 5
LETTERS = "0123456789abcXYZ_.+-αβγδ星雲超新éüß😀٣½"


def random_ids(kind: str, count: int, seed: int) -> list:
    """Draw different ids: "int64" above 2^53, "text" as catalogues and alphabets have them."""
    rng = random.Random(f"{kind} {seed}")
    draws = [
        lambda: f"{rng.randrange(10**6):012d}",
        lambda: str(rng.randrange(2**53, 2**64)),
        lambda: "".join(rng.choices(LETTERS, k=rng.randint(5, 12))),
    ]
    found: dict = {}
    while len(found) < count:
        found[rng.randrange(2**53, 2**63) if kind == "int64" else rng.choice(draws)()] = None
    return list(found)


def write_survey(path: Path, ids: list) -> None:
    """Write a CSV with so many short light curves, of three classes."""
    count, rng = len(ids), np.random.default_rng(0)
    step = np.tile(np.arange(POINTS), count)
    table = {
        "id": pa.array(ids).take(pa.array(np.repeat(np.arange(count), POINTS))),
        "mjd": 50_000 + 3.5 * step,
        "mag": np.round(15 + rng.normal(size=count * POINTS), 3),
        "magerr": np.full(count * POINTS, 0.1),
        "label": np.array(["a", "b", "c"])[np.repeat(np.arange(count) % 3, POINTS)],
    }
    pa_csv.write_csv(pa.table(table), path)


def job(name: str, **words: str) -> None:
    """Run a job of the command line, which must end well."""
    given = [f"--config.{key.replace('__', '.')}={value}" for key, value in words.items()]
    assert main(["main", f"--config={ROOT / 'configs' / name}", *given]) == 0


def column(path: Path, name: str = "id") -> pa.ChunkedArray:
    return pq.read_table(path, columns=[name])[name]


def unchanged(kind: str, count: int, run: Path, folder: Path) -> None:
    """Take ids through convert, training on a part, embed and predict, and compare them all."""
    ids = random_ids(kind, count, 7)
    expected = pa.chunked_array([pa.array(ids, pa.int64() if kind == "int64" else pa.string())])
    write_survey(folder / "survey.csv", ids)
    job("convert.py", input=folder / "survey.csv", output=folder / "table.parquet")
    assert column(folder / "table.parquet").combine_chunks().equals(expected.combine_chunks())
    part = pq.read_table(folder / "table.parquet").slice(0, 600)
    pq.write_table(part, folder / "part.parquet")
    words = [*LABELLED, "--config.steps=4", "--config.per_class=20", f"--config.init={run}"]
    words += [f"--config.data.path={folder / 'part.parquet'}", f"--workdir={folder / 'run'}"]
    assert main(["main", f"--config={ROOT / 'configs' / 'classify.py'}:mlp_att", *words]) == 0
    tested = column(folder / "run" / "test_predictions.parquet").to_pylist()
    assert len(tested) > 50 and set(tested) <= set(ids[:600])
    for name, init in (("embed", run), ("predict", folder / "run")):
        output = folder / f"{name}.parquet"
        job(f"{name}.py", init=init, data__path=folder / "table.parquet", output=output)
        assert column(output).combine_chunks().equals(expected.combine_chunks()), name
    assert column(folder / "predict.parquet", "prediction").null_count == 0


@pytest.mark.parametrize("kind", ["int64", "text"])
def test_two_thousand_ids(kind, finished, tmp_path, hastily):
    unchanged(kind, FEW, finished, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["int64", "text"])
def test_a_million_ids(kind, finished, tmp_path):
    unchanged(kind, MANY, finished, tmp_path)
