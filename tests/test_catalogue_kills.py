"""`embed` into a folder and `convert`, killed in writes and at random moments: the same bytes."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny import ROOT, call, start
from tiny_catalogue import EMBED, catalogue, snapshot, untrained

KILLED = Path(__file__).with_name("killed.py")
CONVERT = f"--config={ROOT / 'configs' / 'convert.py'}"


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    return catalogue(tmp_path_factory.mktemp("survey") / "in")


@pytest.fixture(scope="module")
def embedding(survey, tmp_path_factory):
    """Return the words of an embedding of six units, but the output."""
    encoder = untrained(tmp_path_factory.mktemp("encoder") / "tiny.safetensors")
    words = [EMBED, f"--config.init={encoder}", f"--config.data.path={survey}"]
    return [*words, "--config.rows_a_unit=20"]


@pytest.fixture(scope="module")
def conversion(survey):
    return [CONVERT, f"--config.input={survey}"]


def left_by(words: list[str], output: str, folder: Path, env) -> dict:
    """Run a command to its end; return the files of the folder `out` that it leaves."""
    told = call([*words, f"--config.output={folder / output}"], folder, env)
    assert told.returncode == 0, told.stderr
    return snapshot(folder / "out")


@pytest.fixture(scope="module")
def embedded(embedding, tmp_path_factory, compiled):
    """Return the files of an uninterrupted embedding."""
    return left_by(embedding, "out", tmp_path_factory.mktemp("embedded"), compiled)


@pytest.fixture(scope="module")
def converted(conversion, tmp_path_factory, compiled):
    """Return the files of an uninterrupted conversion."""
    return left_by(conversion, "out/x.parquet", tmp_path_factory.mktemp("converted"), compiled)


def killed_at(write: int, words: list[str], folder: Path, env) -> int:
    """Run a command that dies at a write; return its exit code: 0 where it ended before."""
    line = [sys.executable, str(KILLED), str(write), *words]
    told = subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert told.returncode in (0, -signal.SIGKILL), told.stderr
    return told.returncode


def killed_after(files: int, delay: float, words: list[str], folder: Path, env) -> int:
    """Run a command, kill it `delay` seconds after it has left more files; return its exit code."""
    process = start(words, folder, env)
    wanted = len(list(folder.rglob("*"))) + files
    while process.poll() is None:
        if len(list(folder.rglob("*"))) >= wanted:
            time.sleep(delay)
            break
        time.sleep(0.002)
    process.kill()
    _, err = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode


def survive(kills: int, seed: int, words, folder, reference, whole, env) -> int:
    """Kill a command so often, restart each time; compare whenever it has ended; return kills.

    whole: files, by name, that are complete whenever they are there
    """
    rng = np.random.default_rng(seed)
    died, chain = 0, 0
    while died < kills:
        place = folder / f"chain_{chain}"
        place.mkdir(exist_ok=True)
        line = [*words, f"--config.output={place / 'out' / whole[0] if whole else place / 'out'}"]
        if rng.random() < 0.7:
            code = killed_at(int(rng.integers(1, 25)), line, place, env)
        else:
            code = killed_after(int(rng.integers(1, 6)), rng.uniform(0, 0.1), line, place, env)
        there = snapshot(place / "out")
        for name in set(whole) & set(there):
            assert there[name] == reference[name], f"half of {name}"
        died += code != 0
        if code == 0:
            assert there == reference
            chain += 1
    told = call(line, folder, env)
    assert told.returncode == 0, told.stderr
    assert snapshot(place / "out") == reference
    return chain


def assert_embedded_whole(folder: Path) -> None:
    table = pq.read_table(folder)
    assert len(set(table["id"].to_pylist())) == len(table) == 120 - 13
    assert table["embedding"].null_count == 0
    assert np.isfinite(np.array(table["embedding"].to_pylist())).all()
    reports = list((folder / "_quarantine").glob("*.csv"))
    assert sum(1 for p in reports for _ in csv.DictReader(p.open(newline=""))) == 13


@pytest.mark.parametrize("writes", [(4, 6, 9)])
def test_embed_killed_inside_writes(embedding, embedded, tmp_path, compiled, writes):
    words = [*embedding, f"--config.output={tmp_path / 'out'}"]
    for write in writes:
        assert killed_at(write, words, tmp_path, compiled) == -signal.SIGKILL
        assert snapshot(tmp_path / "out") != embedded
    assert [p for p in snapshot(tmp_path / "out") if p.endswith(".tmp")]
    assert call(words, tmp_path, compiled).returncode == 0
    assert snapshot(tmp_path / "out") == embedded
    assert_embedded_whole(tmp_path / "out")


@pytest.mark.parametrize("write", [1, 2, 5])
def test_convert_killed_inside_writes(conversion, converted, tmp_path, compiled, write):
    words = [*conversion, f"--config.output={tmp_path / 'out' / 'x.parquet'}"]
    assert killed_at(write, words, tmp_path, compiled) == -signal.SIGKILL
    there = snapshot(tmp_path / "out")
    assert there.get("x.parquet", converted["x.parquet"]) == converted["x.parquet"]
    assert call(words, tmp_path, compiled).returncode == 0
    assert snapshot(tmp_path / "out") == converted
    table = pq.read_table(tmp_path / "out" / "x.parquet")
    assert len(set(table["id"].to_pylist())) == len(table) == 120 - 13
    report = tmp_path / "out" / "x.parquet.quarantine.csv"
    assert len(list(csv.DictReader(report.open(newline="")))) == 13


def test_sigterm_gives_75_and_the_same_command_goes_on(embedding, embedded, tmp_path, compiled):
    words = [*embedding, f"--config.output={tmp_path / 'out'}"]
    process = start(words, tmp_path, compiled)
    while process.poll() is None and not list((tmp_path / "out").glob("_manifest/*.json")):
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=100)
    if process.returncode:  # a machine so fast that it had ended
        assert process.returncode == 75 and "Traceback" not in err, err
        assert not [p for p in snapshot(tmp_path / "out") if p.endswith(".tmp")]
    assert call(words, tmp_path, compiled).returncode == 0
    assert snapshot(tmp_path / "out") == embedded


@pytest.mark.slow
def test_a_hundred_kills_of_embed(embedding, embedded, tmp_path, compiled):
    chains = survive(100, 1, embedding, tmp_path, embedded, (), compiled)
    for number in range(chains):
        assert_embedded_whole(tmp_path / f"chain_{number}" / "out")


@pytest.mark.slow
def test_a_hundred_kills_of_convert(conversion, converted, tmp_path, compiled):
    survive(100, 2, conversion, tmp_path, converted, ("x.parquet",), compiled)
