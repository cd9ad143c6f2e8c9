"""Damaged files of every format: curves, or one line that names the file and what to do.

Mutations are seeded by the name of the sample and a number: case 7 of "csv" is the same everywhere.
CI takes a few of each sample, the slow test far more.
"""

import gzip
import lzma
import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzz_samples import Sample, curve_samples, object_samples, raw_samples, transient_samples
from mutations import damages
from tiny import ROOT

from astro_jax.data.multimodal_catalogue import read_catalogue
from astro_jax.data.multimodal_parts import assemble
from astro_jax.data.read_transients import read_transients
from astro_jax.errors import UserError
from astro_jax.main import main
from astro_jax.surveys.astrom3 import read_published
from astro_jax.surveys.spectra import read_spectra

CONVERT = f"--config={ROOT / 'configs' / 'convert.py'}"
FEW, MANY = 5, 40  # cases of a sample: 26 samples are written here, 15 are shared
PATIENCE = 30  # seconds for a file of a few kilobytes


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> list[Sample]:
    """Return a small valid input of every format."""
    pytest.importorskip("astropy.io.fits", reason="extra `fits`: astropy")
    folder = tmp_path_factory.mktemp("samples")
    return [*curve_samples(), *transient_samples(folder), *object_samples(folder)]


@contextmanager
def in_time():
    """Raise TimeoutError where a reader hangs."""

    def late(*_):
        raise TimeoutError(f"no answer after {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def balances(ledger) -> bool:
    """Tell whether all that was read is kept, filtered or quarantined, each with its reason."""
    assert not any("unexpected" in row.reason or not row.reason for row in ledger.rows)
    return all(
        ledger.read[k] == ledger.kept[k] + ledger.filtered[k] + ledger.quarantined[k]
        for k in (0, 1)
    )


def convert(path: Path, capsys) -> str:
    """Convert a file by the command line; return the message, "" where it was read."""
    output = path.parent / "out" / "table.parquet"
    code = main(["main", CONVERT, f"--config.input={path}", f"--config.output={output}"])
    told = capsys.readouterr()
    assert code in (0, 1) and "Traceback" not in told.out + told.err
    if code:
        assert not output.exists() and told.err.startswith("error: ") and told.err.count("\n") == 1
        return told.err
    counts = {line.split()[0]: line.split()[1::2][:2] for line in told.out.splitlines()[:4]}
    parts = {n: [int(v.replace(",", "")) for v in c] for n, c in counts.items()}
    rest = zip(parts["kept"], parts["filtered"], parts["quarantined"], strict=True)
    assert parts["read"] == [sum(row) for row in rest] and parts["kept"][1] > 0
    assert "unexpected" not in told.out and output.exists()
    return ""


def read_objects(sample: Sample, path: str) -> None:
    """Read what `data.path`, `data.spectra` and `data.catalogue` of AstroM3 name."""
    if sample.reader == "published":
        found, ledger = read_published(path, wavelengths=(4000.0, 4008.0, 1.0))
        assert balances(ledger) and sum(map(len, found.values())) == ledger.kept.objects
    elif sample.reader == "spectra":
        spectra, ledger = read_spectra(path)
        assert balances(ledger) and len(spectra) == ledger.kept.objects
        assemble(None, spectra, None, wavelengths=(4000.0, 5000.0, 9.0), label="z")
    else:
        table, ledger = read_catalogue(path)
        objects, _ = assemble(None, None, table)
        assert balances(ledger) and len(objects) == table.num_rows == ledger.kept.objects > 0


def outcome(sample: Sample, path: Path, capsys) -> str:
    """Read a sample; return the message, "" where it was read."""
    if sample.reader == "curves":
        return convert(path, capsys)
    try:
        if sample.reader == "transients":
            transients, ledger = read_transients(str(path))
            assert balances(ledger) and ledger.kept == (len(transients), len(transients.time))
        else:
            read_objects(sample, str(path))
    except UserError as error:
        return str(error)
    return ""


def damaged(sample: Sample, case: int, folder: Path) -> Path:
    """Write a sample with its main file damaged in way number `case`; return what to read."""
    rng = random.Random(f"{sample.name} {case}")
    for name, content in sample.files.items():
        (folder / name).write_bytes(content)
    path = folder / sample.main
    path.write_bytes(rng.choice(damages(sample.kind))(sample.files[sample.main], rng))
    return folder if len(sample.files) > 1 else path


def survive(samples: list[Sample], cases: range, folder: Path, capsys) -> tuple[int, int]:
    """Read the damaged samples; return how many were refused, and how many could be read."""
    counts, problems = [0, 0], []
    for sample in samples:
        for case in cases:
            place = folder / f"{sample.name.replace('/', '_')} {case}"
            place.mkdir()
            path = damaged(sample, case, place)
            message = ""
            try:
                with in_time():
                    message = outcome(sample, path, capsys)
                assert not message or said_well(message.rstrip("\n"), path), message
            except Exception as error:
                problems.append(f"{sample.name!r} {case}: {type(error).__name__}: {error}"[:500])
            counts[not message] += 1
    assert not problems, "\n".join(problems)
    return counts[0], counts[1]


def said_well(message: str, path: Path) -> bool:
    """Tell a message of one printable line that names the file and says what to do."""
    fixes = (
        "; ",
        ": give",
        ": --config",
        "(one of",
        "did you mean",
        "bands are",
        "name ",
        "must be",
    )
    short = len(message) < 1200 and message.isprintable()
    return short and path.name in message and any(fix in message for fix in fixes)


def test_every_sample_is_valid(samples, tmp_path, capsys):
    for sample in samples:
        folder = tmp_path / sample.name
        folder.mkdir()
        for name, content in sample.files.items():
            (folder / name).write_bytes(content)
        path = folder if len(sample.files) > 1 else folder / sample.main
        assert outcome(sample, path, capsys) == "", sample.name
    assert {s.reader for s in samples} == {
        "curves", "transients", "published", "spectra", "catalogue"
    }  # fmt: skip


def test_damaged_files_are_read_or_refused_in_one_line(samples, tmp_path, capsys):
    refused, read = survive(samples, range(FEW), tmp_path, capsys)
    assert refused + read >= 100 and refused > 30 and read > 30


@pytest.mark.slow
def test_many_damaged_files(samples, shared, tmp_path, capsys):
    everything = [*samples, *raw_samples(shared / "data" / "raw_samples")]
    refused, read = survive(everything, range(FEW, MANY), tmp_path, capsys)
    assert refused + read >= 500
    with capsys.disabled():
        print(f"\n{refused + read} damaged files: {refused} refused, {read} read")


# What declares to be far larger than it is


def write_bombs(folder: Path) -> list[Path]:
    """Write small files that unpack to, or say that they hold, more than 400 MB."""
    block = bytes(1 << 22)
    with gzip.open(folder / "gz.csv.gz", "wb") as file:
        file.writelines([block] * 100)
    with lzma.open(folder / "xz.csv.xz", "wb", preset=0) as file:
        file.writelines([block] * 100)
    batch = pa.RecordBatch.from_arrays([pa.array(np.zeros(10**6))] * 3, ["id", "time", "mag"])
    with pq.ParquetWriter(folder / "rows.parquet", batch.schema) as writer:
        for _ in range(50):
            writer.write_batch(batch)
    head = "SIMPLE  =                    T|BITPIX  =                  -64|NAXIS   =           2|"
    head += "NAXIS1  =        4000000000|NAXIS2  =                   90|COEFF0  =      3.5|"
    head += "COEFF1  =      1e-4|END"
    cards = "".join(card.ljust(80) for card in head.split("|")).ljust(2880)
    (folder / "huge.fits").write_bytes(cards.encode() + bytes(2880))
    assert all(path.stat().st_size < 1 << 20 for path in folder.iterdir())
    return sorted(folder.iterdir())


READ = """
import sys
from astro_jax.errors import UserError
from astro_jax.data.read import read_survey
from astro_jax.surveys.spectra import read_spectra

def used():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) << 10

before = used()
for path in sys.argv[1:]:
    try:
        (read_spectra if path.endswith(".fits") else read_survey)(path)
    except UserError as error:
        print(error)
assert used() - before < 2000 << 20, used()
"""


def test_a_bomb_fills_no_memory(tmp_path):
    """400 MB packed in less than 1 MB, 1.2 GB in Parquet, 2,880 GB that a FITS header states."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells the memory that was used")
    paths = write_bombs(tmp_path)
    words = [sys.executable, "-c", READ, *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    told = done.stdout.splitlines()
    assert len(told) == len(paths) == 4 and "Traceback" not in done.stderr
    for path, line in zip(paths, told, strict=True):
        assert path.name in line and ("refused" in line or "unreadable" in line), line
