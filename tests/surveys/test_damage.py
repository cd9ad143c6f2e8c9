"""Damaged originals and Parquet of any types: curves or one line of error, never a traceback."""

import datetime
import decimal
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzz_samples import RAW

from astro_jax.data.read import read_survey
from astro_jax.errors import UserError

SAMPLES = [*RAW, "eros1_ramp_csv/train.csv"]
MARKS = [b'"', b"\n", b",", b" ", b"#", b"nan", b"\xff", b"<", b"[", b"-", b"1e999", b"'"]


def cut(data: bytes, rng) -> bytes:
    return data[: rng.randrange(len(data))]


def corrupt(data: bytes, rng) -> bytes:
    out = bytearray(data)
    for _ in range(20):
        out[rng.randrange(len(out))] = rng.randrange(9, 127)
    return bytes(out)


def drop(data: bytes, rng) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randrange(300) :]


def insert(data: bytes, rng) -> bytes:
    start = rng.randrange(min(300, len(data)))
    return data[:start] + rng.choice(MARKS) + data[start:]


def shuffle(data: bytes, rng) -> bytes:
    lines = data.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def outcome(path) -> str:
    """Read a file; return "curves" or the one-line error, and check what each promises."""
    try:
        curves, ledger = read_survey(str(path))
    except UserError as error:
        assert "\n" not in str(error) and path.name in str(error)
        return str(error)
    assert ledger.kept == (len(curves), len(curves.time))
    assert not any("unexpected" in row.reason for row in ledger.rows)
    return "curves"


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_damaged_original_never_breaks_the_reader(shared, tmp_path, sample):
    data = (shared / "data" / "raw_samples" / sample).read_bytes()[:30000]
    rng = random.Random(sample)
    path = tmp_path / sample
    path.parent.mkdir(parents=True)
    for damage in (cut, corrupt, drop, insert, shuffle):
        for _ in range(4):
            path.write_bytes(damage(data, rng))
            assert "unexpected" not in outcome(path)


def column(k: int) -> pa.Array:
    """Return the k-th of columns of two rows, of every type that files hold."""
    many = [
        [1, 2],
        [1.5, None],
        ["a", "b"],
        [b"a", None],
        [True, False],
        [None, None],
        [datetime.datetime(2000, 1, 1)] * 2,
        [decimal.Decimal("1.5")] * 2,
        [[1.0], [2.0]],
        [["a"], ["b"]],
        [[None], []],
        [[[1.0]], [[2.0]]],
        [{"time": 1.0}, {"time": 2.0}],
        [{"time": [1.0]}, {"time": [2.0]}],
        [[{"time": 1.0, "mag": 2.0}], [{"time": 2.0, "mag": 3.0}]],
        [{"mag": [1.0]}, None],
        [None, [{"mag": 1.0}]],
        [[True], [False]],
    ]
    return pa.array([2**63, 2**64 - 1], pa.uint64()) if k == len(many) else pa.array(many[k])


def test_parquet_of_any_types_never_breaks_the_reader(tmp_path):
    rng, seen = random.Random(5), set()
    path = tmp_path / "a.parquet"
    for _ in range(400):
        names = ["id", rng.choice(["time", "mjd"]), "mag"]
        names += [n for n in ("band", "magerr", "label") if rng.random() < 0.3]
        pq.write_table(pa.table({n: column(rng.randrange(19)) for n in names}), path)
        found = outcome(path)
        assert "unexpected" not in found
        seen.add(found == "curves")
    assert seen == {True, False}
