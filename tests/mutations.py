"""Seeded ways to damage a file: its bytes, its lines and cells, its Parquet columns."""

import bz2
import datetime
import decimal
import gzip
import io
import random
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

MARKS = [b'"', b"\n", b",", b" ", b"#", b"nan", b"\xff", b"<", b"[", b"-", b"'", b"\0", b"\r", b"|"]
CELLS = [
    b"", b"nan", b"inf", b"-inf", b"1e999", b"-1e308", b"1e38", b"9" * 40, b"-9223372036854775808",
    b"18446744073709551615", b"0x10", b"null", b"None", b"NaN,NaN", b">16.4", b"1_000", b"1,5",
    b"\xc3\xa9", b"\xff\xfe", b"\xe2\x80\xae", b"'1'", b'"', b"[1, 2]", b"2020-01-01T00:00:00",
    b"-0", b"+", b"1d5", b"   ", b"x" * 5000, b"\x00", b"\xef\xbf\xbd", "٣".encode(), "½".encode(),
]  # fmt: skip

Damage = Callable[[bytes, random.Random], bytes]


# Bytes


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def flip(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 3, 20))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def drop(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.choice((1, 10, 300)) :]


def insert(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + rng.choice(MARKS) * rng.choice((1, 2, 50)) + data[start:]


def zeros(data: bytes, rng: random.Random) -> bytes:
    start, size = rng.randrange(len(data)), rng.choice((1, 16, 200))
    return data[:start] + b"\0" * size + data[start + size :]


def digits(data: bytes, rng: random.Random) -> bytes:
    """Change some digits, which in headers are sizes and counts."""
    out = bytearray(data)
    places = [k for k, byte in enumerate(out[:20000]) if 48 <= byte < 58]
    for k in rng.sample(places, min(len(places), rng.choice((1, 3, 10)))):
        out[k] = 48 + rng.randrange(10)
    return bytes(out)


def twice(data: bytes, rng: random.Random) -> bytes:
    return data + data


def empty(data: bytes, rng: random.Random) -> bytes:
    return rng.choice((b"", b"\n", b"\0", b"\xef\xbb\xbf", b"  \r\n"))


def packed_and_cut(data: bytes, rng: random.Random) -> bytes:
    pack = rng.choice((gzip.compress, bz2.compress))
    return cut(pack(data), rng) if rng.random() < 0.7 else flip(pack(data), rng)


BYTES: tuple[Damage, ...] = (
    cut, flip, drop, insert, zeros, digits, twice, empty, packed_and_cut,
)  # fmt: skip


# Lines and cells of a text


def bom(data: bytes, rng: random.Random) -> bytes:
    return b"\xef\xbb\xbf" * rng.choice((1, 2)) + data


def mixed_line_ends(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    return b"".join(line + rng.choice((b"\n", b"\r\n", b"\r", b"\n\r")) for line in lines)


def latin(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + rng.choice((b"\xe9", b"\xff", b"\xc3", b"\xed\xa0\x80")) + data[start:]


def utf_16(data: bytes, rng: random.Random) -> bytes:
    return cut(data.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-16-be"))), rng)


def header_again(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    lines.insert(rng.randrange(len(lines) + 1), lines[0])
    return b"\n".join(lines)


def no_header(data: bytes, rng: random.Random) -> bytes:
    return data.partition(b"\n")[2]


def shuffle(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def _cells(data: bytes) -> tuple[list[list[bytes]], bytes]:
    mark = max((b",", b"\t", b" "), key=lambda m: data[:3000].count(m))
    return [line.split(mark) for line in data.split(b"\n")], mark


def _text(rows: list[list[bytes]], mark: bytes) -> bytes:
    return b"\n".join(mark.join(row) for row in rows)


def wrong_cells(data: bytes, rng: random.Random) -> bytes:
    rows, mark = _cells(data)
    for _ in range(rng.choice((1, 3, 30))):
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = rng.choice(CELLS)
    return _text(rows, mark)


def wrong_column(data: bytes, rng: random.Random) -> bytes:
    """Put one strange value into a column of every line but the first."""
    rows, mark = _cells(data)
    k, cell = rng.randrange(max(map(len, rows))), rng.choice(CELLS)
    return _text([rows[0]] + [[*r[:k], cell, *r[k + 1 :]] for r in rows[1:]], mark)


def swapped_columns(data: bytes, rng: random.Random) -> bytes:
    rows, mark = _cells(data)
    width = max(map(len, rows))
    a, b = rng.randrange(width), rng.randrange(width)
    for row in rows[rng.randrange(2) :]:
        if max(a, b) < len(row):
            row[a], row[b] = row[b], row[a]
    return _text(rows, mark)


def no_column(data: bytes, rng: random.Random) -> bytes:
    rows, mark = _cells(data)
    k = rng.randrange(max(map(len, rows)))
    return _text([row[:k] + row[k + 1 :] for row in rows], mark)


TEXT: tuple[Damage, ...] = (
    bom, mixed_line_ends, latin, utf_16, header_again, no_header, shuffle, wrong_cells, wrong_cells,
    wrong_column, wrong_column, swapped_columns, no_column,
)  # fmt: skip


# Columns of a Parquet table


def values_of_any_type(count: int, rng: random.Random) -> pa.Array:
    """Return a column of a type that no reader expects where it stands."""
    day = datetime.datetime(2000, 1, 1)
    one = rng.choice([
        [1, None], [2**63 - 1, -(2**63)], [1e308, float("nan")], ["a", "٣"], [b"a", b"\xff"],
        [True, None], [None, None], [day, None], [decimal.Decimal("1.5"), None], [[1.0], []],
        [[[1.0]], [None]], [["a"], None], [[None], [1e308]], [{"time": 1.0}, None],
        [[{"time": 1.0, "mag": 2.0}], None], [{"time": [1.0], "mag": [2.0, 3.0]}, None],
        [[{"time": [1.0]}], []], [[True], [day.year > 1]], [datetime.timedelta(1), None],
        [[day], [None]], [[b"a"], [b"\xff"]],
    ])  # fmt: skip
    return pa.array([one[k % 2] for k in range(count)])


def retype(table: pa.Table, rng: random.Random) -> pa.Table:
    k = rng.randrange(table.num_columns)
    return table.set_column(k, table.column_names[k], values_of_any_type(table.num_rows, rng))


def narrower(table: pa.Table, rng: random.Random) -> pa.Table:
    return table.drop_columns([rng.choice(table.column_names)])


def renamed(table: pa.Table, rng: random.Random) -> pa.Table:
    names = list(table.column_names)
    rng.shuffle(names)
    return table.rename_columns(names)


def doubled(table: pa.Table, rng: random.Random) -> pa.Table:
    k = rng.randrange(table.num_columns)
    return table.append_column(rng.choice(table.column_names), table.column(k))


def no_rows(table: pa.Table, rng: random.Random) -> pa.Table:
    return table.slice(0, 0)


def rows_again(table: pa.Table, rng: random.Random) -> pa.Table:
    return pa.concat_tables([table, table.slice(rng.randrange(table.num_rows))])


def holes(table: pa.Table, rng: random.Random) -> pa.Table:
    """Make some values, lists or elements of lists of one column null, other, or shorter."""
    k = rng.randrange(table.num_columns)
    field, values = table.schema.field(k), table.column(k).to_pylist()
    for _ in range(rng.choice((1, 2, len(values)))):
        row = rng.randrange(len(values))
        value = values[row]
        choices = [None]
        if isinstance(value, list) and value:
            inner = list(value)
            inner[rng.randrange(len(inner))] = None
            choices += [[], value[:-1], value + value[:1], inner]
        elif isinstance(value, float):
            choices += [float("nan"), float("inf"), 1e308, -1.0]
        values[row] = rng.choice(choices)
    return table.set_column(k, field.name, pa.array(values, field.type))


TABLE = (retype, retype, holes, holes, holes, narrower, renamed, doubled, no_rows, rows_again)


def parquet(data: bytes, rng: random.Random) -> bytes:
    """Damage the columns of a Parquet file; now and then its bytes too."""
    table = pq.read_table(io.BytesIO(data))
    for _ in range(rng.choice((1, 1, 2))):
        if table.num_rows and table.num_columns > 1:
            table = rng.choice(TABLE)(table, rng)
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def damages(kind: str) -> tuple[Damage, ...]:
    """Return the ways to damage a file of a kind: "text", "parquet" or "binary"."""
    more = {"text": TEXT, "parquet": (parquet,) * 2 * len(BYTES), "binary": (flip, digits, zeros)}
    return (*BYTES, *more[kind])
