"""A file as every reader gets it: its bytes unpacked, its lines split into columns."""

import bz2
import csv
import gzip
import io
import lzma
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from astro_jax.data.clean import FileError, Raw

UNPACK = (
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ", lzma.LZMAFile),
)
# Numbers as text pack to a third or a tenth; zeros to a thousandth.
MOST_TIMES = 50
HARMLESS = 256 << 20  # bytes that may come out of any file
PACKED = (".gz", ".bz2", ".xz")
SEPARATORS = (";", "\t", "|", ",", ":")
COMMENT = ("#", "%", "!")
MOST_COLUMNS = 5000
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?$"


class Source(NamedTuple):
    """A file to read: its path, its unpacked bytes (None for Parquet), what the user said.

    Of transients only: survey, whose letters the bands are; zero_point, the AB magnitude of flux 1;
    bands, those to keep, so that others need not be known
    """

    path: str
    data: bytes | None
    columns: Mapping[str, str] = {}
    time_format: str | None = None
    survey: str | None = None
    zero_point: float | None = None
    bands: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """The first 4,000 characters of a text."""
        return (self.data or b"")[:4000].decode("utf-8", "replace")

    @property
    def name(self) -> str:
        """The file's name without folder and packing: `a/lc.dat.gz` is `lc.dat`."""
        pure = PurePath(self.path)
        return pure.stem if pure.suffix in PACKED else pure.name

    @property
    def stem(self) -> str:
        """The file's name without its last ending."""
        return PurePath(self.name).stem


class Format(NamedTuple):
    """A format of a survey: its name, whether a source looks like it, and how it is read.

    beside: it has no curves of its own but is read together with files near it
    named: the user may say which column is what; else they are as the survey has them
    """

    name: str
    sniff: Callable[[Source], bool]
    read: Callable[[Source], Raw]
    beside: bool = False
    named: bool = False


class Lines(NamedTuple):
    """A text as columns of strings.

    comments: comment lines without their mark; names: the header's, or col1, col2, ...
    table: one string column a name; broken: [rows] bool, lines of another width than the rest
    """

    comments: tuple[str, ...]
    names: tuple[str, ...]
    header: bool
    table: pa.Table
    broken: np.ndarray

    def column(self, name: str | int) -> pa.ChunkedArray:
        """Return a column by its name (any case) or position from 0."""
        if isinstance(name, int):
            return self.table.column(name)
        low = [n.lower() for n in self.names]
        if name.lower() not in low:
            raise FileError(f"no column '{name}' among {', '.join(self.names)[:200]}")
        return self.table.column(low.index(name.lower()))


def unpack(data: bytes) -> bytes:
    """Return the bytes of a file without compression, byte-order mark and carriage returns."""
    for magic, unpacked in UNPACK:
        if data.startswith(magic):
            most = max(HARMLESS, MOST_TIMES * len(data))
            try:
                with unpacked(io.BytesIO(data)) as file:
                    data = file.read(most + 1)
            except (OSError, EOFError, lzma.LZMAError, ValueError, gzip.zlib.error) as error:
                raise FileError(f"broken compressed file: {error}") from error
            if len(data) > most:
                raise FileError(f"refused: it unpacks to more than {MOST_TIMES} times its size")
    return data


def text(data: bytes) -> bytes:
    """Return the bytes of a text as UTF-8 with plain line ends; raise FileError for binary data."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16", "replace").encode()
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise FileError("empty file")
    if b"\0" in data or sum(c < 9 for c in data[:4096]) > 0:
        raise FileError("binary data, not a table of text")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        data = data.decode("latin-1").encode()
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def split_comments(data: bytes) -> tuple[tuple[str, ...], bytes]:
    """Return the comment lines without their marks, and the text without them."""
    marks = tuple(m.encode() for m in COMMENT)
    if not data.lstrip().startswith(marks) and not any(b"\n" + m in data for m in marks):
        return (), data
    lines = data.split(b"\n")
    comments = [x.lstrip(b" #%!\t").decode().strip() for x in lines if x.lstrip().startswith(marks)]
    return tuple(comments), b"\n".join(x for x in lines if not x.lstrip().startswith(marks))


def find_separator(sample: list[str]) -> str | None:
    """Return the separator that cuts most lines of a sample into equally many cells, or None."""
    bare = [re.sub(r'"[^"]*"', "", line) for line in sample]
    for mark in SEPARATORS:
        count, lines = Counter(line.count(mark) for line in bare).most_common(1)[0]
        if count and 2 * lines > len(bare) and not (mark == ":" and any(" " in b for b in bare)):
            return mark
    return None


def squeeze(data: bytes) -> bytes:
    """Return whitespace-separated lines with one tab between values."""
    data = data.replace(b"\t", b" ")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data.replace(b" \n", b"\n").replace(b"\n ", b"\n").strip().replace(b" ", b"\t")


def split_lines(data: bytes, separator: str | None = None) -> Lines:
    """Split a text into columns; a line of another width is kept, padded or cut, and marked."""
    comments, data = split_comments(data)
    data = data.strip(b"\n")
    sample = [s for s in data[:20000].decode("utf-8", "replace").split("\n")[:20] if s.strip()]
    if not sample:
        raise FileError("no rows, only comments")
    separator = separator or find_separator(sample)
    if separator is None:
        data, separator = squeeze(data), "\t"
    table, broken = parse_cells(data, separator)
    first = [(c[0].as_py() or "").strip().strip("'\"") for c in table.columns]
    header = not any(re.match(NUMBER, c) or c.lower() == "nan" for c in first)
    if header:
        names, table, broken = first, table.slice(1), broken[1:]
    else:
        names = comment_names(comments, separator, len(first))
    if header and not table.num_rows:
        raise FileError("no rows, only a header")
    return Lines(
        comments,
        tuple(names or [f"col{k + 1}" for k in range(len(first))]),
        header or bool(names),
        table,
        broken,
    )


def comment_names(comments: tuple[str, ...], separator: str, width: int) -> list[str] | None:
    """Return the column names that the last comment line gives, if it has as many words."""
    for line in reversed(comments[-5:]):
        words = [w.strip() for w in (line.split(separator) if separator in line else line.split())]
        if len(words) == width and not any(re.match(NUMBER, w) for w in words):
            return words
    return None


def parse_cells(data: bytes, separator: str) -> tuple[pa.Table, np.ndarray]:
    """Return the cells as string columns, and which lines had another number of them."""
    ragged = []
    first = data.split(b"\n", 1)[0].decode()
    width = len(next(csv.reader([first], delimiter=separator), ()))
    if width > MOST_COLUMNS:
        raise FileError(f"not a light curve: {width} columns")
    types = {f"f{k}": pa.string() for k in range(width)}
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(data),
            pa_csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, autogenerate_column_names=True
            ),
            pa_csv.ParseOptions(
                delimiter=separator, invalid_row_handler=lambda row: ragged.append(row) or "skip"
            ),
            pa_csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        )
    except pa.ArrowInvalid:  # a quote that is never closed, for one
        return parse_ragged(data, separator)
    if ragged:
        return parse_ragged(data, separator)
    return table, np.zeros(table.num_rows, bool)


def parse_ragged(data: bytes, separator: str) -> tuple[pa.Table, np.ndarray]:
    """Do what parse_cells does where lines differ in width; the commonest width is the table's."""
    # cell by cell without quoting, so that an open quote cannot swallow the lines after it
    quoting = csv.QUOTE_NONE if data.count(b'"') % 2 else csv.QUOTE_MINIMAL
    lines = csv.reader(io.StringIO(data.decode()), delimiter=separator, quoting=quoting)
    rows = [r for r in lines if r]
    width = Counter(map(len, rows[:10000])).most_common(1)[0][0]
    broken = np.array([len(r) != width for r in rows])
    while len(rows) > 1 and broken[0] and not any(re.match(NUMBER, c.strip()) for c in rows[0]):
        rows, broken = rows[1:], broken[1:]  # a title above the columns
    cells = [(r + [""] * width)[:width] for r in rows]
    columns = [pa.array(c, pa.string()) for c in zip(*cells, strict=True)]
    return pa.table(columns, names=[f"f{k}" for k in range(width)]), broken
