"""A run stopped by a signal, or with other workers, goes on to the same end; kills: test_kills."""

import json
import signal
import time
from pathlib import Path

import pytest
from killing import assert_same, lines, saved
from tiny import PRETRAIN, TINY, call, start

STEPS = 100
OFTEN = [
    *TINY,
    f"--config.steps={STEPS}",
    "--config.eval_every=7",
    "--config.log_every=1",
    "--config.checkpoint_seconds=0.05",
    "--config.data.simulate.stars=20",
]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, compiled):
    """Return the folder of a run from start to end, saved only at evaluations."""
    workdir = tmp_path_factory.mktemp("resume") / "whole"
    told = call(
        [PRETRAIN, f"--workdir={workdir}", *OFTEN, "--config.checkpoint_seconds=1e9"],
        workdir.parent,
        compiled,
    )
    assert told.returncode == 0, told.stderr
    return workdir


def killed_after(more: int, delay: float, arguments: list[str], workdir: Path, env) -> int:
    """Start a run, kill it `delay` seconds after `more` lines of metrics; return its exit code.

    Lines are a clock that runs as slowly as a busy machine does; the delay hits what is in between.
    """
    process = start([PRETRAIN, f"--workdir={workdir}", *OFTEN, *arguments], workdir.parent, env)
    deadline = time.monotonic() + 200
    target = lines(workdir) + more
    while process.poll() is None and time.monotonic() < deadline:
        if lines(workdir) >= target:
            time.sleep(delay)
            break
        time.sleep(0.005)
    process.kill()
    _, err = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode


def test_the_reference_run_is_whole(uninterrupted):
    steps = [json.loads(line) for line in (uninterrupted / "metrics.jsonl").open()]
    assert [s["step"] for s in steps if s["split"] == "train"] == list(range(1, STEPS + 1))
    assert [s["step"] for s in steps if s["split"] == "valid"] == [*range(7, STEPS, 7), STEPS]
    assert saved(uninterrupted, "last")[0] == STEPS


def test_another_worker_count_changes_no_bit(tmp_path, uninterrupted, compiled):
    workdir = tmp_path / "workers"
    assert killed_after(1, 0.2, [], workdir, compiled) == -signal.SIGKILL
    assert lines(workdir) < STEPS
    told = call(
        [PRETRAIN, f"--workdir={workdir}", *OFTEN, "--config.data.workers=2"], tmp_path, compiled
    )
    assert told.returncode == 0, told.stderr
    assert_same(workdir, uninterrupted)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(tmp_path, uninterrupted, compiled, kind):
    workdir = tmp_path / "signalled"
    command = [PRETRAIN, f"--workdir={workdir}", *OFTEN, "--config.checkpoint_seconds=1e9"]
    process = start(command, tmp_path, compiled)
    while process.poll() is None and not (workdir / "checkpoints" / "last").exists():
        time.sleep(0.005)
    process.send_signal(kind)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 75, err
    assert "stopped at step" in out and "Traceback" not in err
    step = saved(workdir, "last")[0]
    assert f"stopped at step {step};" in out and 7 <= step < STEPS
    assert not (workdir / "summary.json").exists()
    assert call(command, tmp_path, compiled).returncode == 0
    assert_same(workdir, uninterrupted)
