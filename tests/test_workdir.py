"""The folder of a run: whose it is, and files that appear whole or not at all."""

import json
import os
import subprocess
import sys
import time

import pytest

from astro_jax.errors import UserError
from astro_jax.workdir import (
    claim,
    clocked,
    differences,
    locked,
    read_json,
    write_bytes,
    write_text,
)


def try_lock(folder) -> subprocess.CompletedProcess:
    """Lock a folder in another process."""
    code = (
        "import sys; from pathlib import Path; from astro_jax.workdir import locked\n"
        "from astro_jax.errors import UserError\n"
        "try:\n"
        "    with locked(Path(sys.argv[1])): print('mine')\n"
        "except UserError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_a_lock_excludes_other_processes_and_names_its_owner(tmp_path):
    with locked(tmp_path / "run"):
        assert f"is in use by process {os.getpid()}" in try_lock(tmp_path / "run").stdout
    assert try_lock(tmp_path / "run").stdout == "mine\n"


def test_a_folder_without_steps_is_claimed_by_any_config(tmp_path):
    claim(tmp_path, {"data": {"path": "wrong"}})
    claim(tmp_path, {"data": {"path": "right"}})
    assert read_json(tmp_path / "config.json") == {"data": {"path": "right"}}


@pytest.mark.parametrize("sign", ["checkpoints", "summary.json"])
def test_a_trained_folder_is_kept_for_its_config(tmp_path, sign):
    config = {"seed": 0, "model": {"width": 8}, "data": {"workers": 0}}
    claim(tmp_path, config)
    (tmp_path / sign).mkdir()
    claim(tmp_path, config)
    claim(tmp_path, {**config, "data": {"workers": 2}})  # changes no number
    with pytest.raises(UserError, match="model.width: 8 -> 16.*another --workdir"):
        claim(tmp_path, {**config, "model": {"width": 16}})
    assert read_json(tmp_path / "config.json") == config


def test_a_trained_folder_without_its_config_is_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="config.json cannot be read"):
        claim(tmp_path, {"seed": 0})


def test_differences_name_keys_that_are_new_or_gone():
    assert differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"d": 2}}) == [
        "b.c: 2 -> absent",
        "b.d: absent -> 2",
    ]
    assert differences({"a": [1, 2]}, {"a": (1, 2)}) == []


def test_writing_leaves_nothing_else(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "µ")
    write_bytes(tmp_path / "new" / "a.txt", b"b")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.txt"]
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"b"


def test_a_broken_json_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="config.json cannot be read"):
        read_json(tmp_path / "config.json")


def test_the_clock_counts_all_starts(tmp_path):
    with clocked(tmp_path) as seconds:
        time.sleep(0.05)
        first = seconds()
        assert 0.05 <= first < 5
    (tmp_path / "metrics.jsonl").write_text("")
    with clocked(tmp_path) as seconds:
        assert first <= seconds() < first + 5
    starts = read_json(tmp_path / "clock.json")["starts"]
    assert len(starts) == 2 and all(begin <= end for begin, end in starts)


def test_a_start_that_was_killed_ended_when_it_last_wrote(tmp_path):
    begin = time.time() - 1000
    (tmp_path / "metrics.jsonl").write_text("")
    os.utime(tmp_path / "metrics.jsonl", (begin + 300, begin + 300))
    write_text(tmp_path / "clock.json", json.dumps({"starts": [[begin, None]]}))
    with clocked(tmp_path) as seconds:
        assert 300 <= seconds() < 305
    kept = (tmp_path / "clock.json").read_text()
    (tmp_path / "summary.json").write_text("{}")  # finished: a start that only reports counts not
    with clocked(tmp_path) as seconds:
        assert 300 <= seconds() < 305
    assert (tmp_path / "clock.json").read_text() == kept
    (tmp_path / "summary.json").unlink()
    (tmp_path / "metrics.jsonl").unlink()  # nothing was trained: the folder is new
    with clocked(tmp_path) as seconds:
        assert seconds() < 5
