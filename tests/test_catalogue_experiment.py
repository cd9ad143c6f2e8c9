"""The experiment of a million objects: what is simulated, and the whole of it, small."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tiny import ROOT

FOLDER = ROOT / "experiments" / "catalogue"


@pytest.fixture
def simulated(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import simulated

    monkeypatch.setattr(simulated, "STARS", 256)
    simulated.survey.cache_clear()
    yield simulated
    simulated.survey.cache_clear()


def test_an_object_is_a_function_of_its_number(simulated):
    one, again, other = (simulated.drawn(k, 3000, seed=1) for k in (2, 2, 3))
    np.testing.assert_array_equal(one.mag, again.mag)
    ids = [set(curves.columns["id"].to_pylist()) for curves in (one, other)]
    assert len(ids[0] | ids[1]) == 6000 and max(ids[0]) > 2**53
    assert one.lengths.min() == 20 and one.lengths.max() == 60
    inside = np.ones(len(one.time), bool)
    inside[one.offsets[1:-1]] = False
    assert (np.diff(one.time)[inside[1:]] > 0).all()
    first = np.minimum.reduceat(one.mag, one.offsets[:-1])
    assert np.flatnonzero(first > 90).tolist() == [999, 1999, 2999]


def test_the_figures_are_those_of_the_readme():
    told = json.loads((FOLDER / "result.json").read_text())
    text = (FOLDER / "README.md").read_text()
    assert told["rows_in"] == told["rows_out"] + told["quarantined"] == told["objects"] == 10**6
    for name in ("objects_a_second", "objects_a_cpu_second", "peak_mb_all_processes"):
        assert f"{told[name]:,.0f}" in text, name
    assert told["peak_mb_second_half"] < 1.05 * told["peak_mb_first_half"]  # constant


@pytest.mark.slow
def test_the_whole_of_it_with_few_objects(tmp_path):
    words = ["--objects=3000", f"--folder={tmp_path / 'run'}", f"--output={tmp_path / 'x.json'}"]
    command = [sys.executable, str(FOLDER / "run.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads((tmp_path / "x.json").read_text())
    assert told["rows_in"] == 3000 and told["quarantined"] == 3 and told["units"] == 1
