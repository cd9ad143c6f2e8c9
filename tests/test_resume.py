"""An interrupted run that is started again ends as if it had not been, to the last bit."""

import json
import signal
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from tiny import PRETRAIN, TINY, call, start

STEPS = 150
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


def lines(workdir: Path) -> int:
    path = workdir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


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


def saved(workdir: Path, which: str) -> tuple[int, dict, dict]:
    """Return the newest step of a run: its number, its arrays, its record of control."""
    folder = workdir / "checkpoints" / which
    names = ("params", "opt_state", "control")
    with ocp.CheckpointManager(folder, item_names=names) as manager:
        step = manager.latest_step()
        read = ocp.args.Composite(
            params=ocp.args.StandardRestore(),
            opt_state=ocp.args.StandardRestore(),
            control=ocp.args.JsonRestore(),
        )
        got = manager.restore(step, args=read)
    arrays = jax.tree_util.tree_leaves_with_path((got["params"], got["opt_state"]))
    return step, {jax.tree_util.keystr(p): np.asarray(x) for p, x in arrays}, got["control"]


def assert_same(workdir: Path, reference: Path) -> None:
    """Compare parameters, optimiser state, control and metrics bit by bit, and the summary."""
    for which in ("last", "best"):
        step, arrays, control = saved(workdir, which)
        expected_step, expected, expected_control = saved(reference, which)
        assert (step, control) == (expected_step, expected_control)
        assert arrays.keys() == expected.keys() and len(arrays) > 30
        for name, array in arrays.items():
            assert array.tobytes() == expected[name].tobytes(), f"{which} {name}"
    metrics = [(folder / "metrics.jsonl").read_bytes() for folder in (workdir, reference)]
    assert metrics[0] == metrics[1]
    summaries = [json.loads((f / "summary.json").read_text()) for f in (workdir, reference)]
    assert all(summary.pop("seconds") > 0 for summary in summaries)
    assert summaries[0] == summaries[1]


def survive(kills: int, seed: int, folder: Path, reference: Path, env, workers=(0,)) -> None:
    """Kill runs at `kills` random times, restart each until it ends, compare with `reference`.

    workers: worker counts, taken in turn by the starts of a run.
    """
    rng = np.random.default_rng(seed)
    reached, chain, start_number = [], 0, 0
    while len(reached) < kills:
        workdir = folder / f"chain_{chain}"
        more, delay = int(rng.integers(1, 20)), float(rng.uniform(0, 0.5))
        turn = [f"--config.data.workers={workers[start_number % len(workers)]}"]
        start_number += 1
        if killed_after(more, delay, turn, workdir, env) == 0:  # a fast machine: it ended before
            assert_same(workdir, reference)
            chain += 1
        else:
            reached.append((chain, lines(workdir)))
    told = call([PRETRAIN, f"--workdir={workdir}", *OFTEN], folder, env)
    assert told.returncode == 0, told.stderr
    assert_same(workdir, reference)
    assert len(set(reached)) > kills // 2, reached  # different places: restarts did move on


def test_the_reference_run_is_whole(uninterrupted):
    steps = [json.loads(line) for line in (uninterrupted / "metrics.jsonl").open()]
    assert [s["step"] for s in steps if s["split"] == "train"] == list(range(1, STEPS + 1))
    assert [s["step"] for s in steps if s["split"] == "valid"] == [*range(7, STEPS, 7), STEPS]
    assert saved(uninterrupted, "last")[0] == STEPS


def test_eight_kills_change_no_bit(tmp_path, uninterrupted, compiled):
    survive(8, 0, tmp_path, uninterrupted, compiled)


def test_another_worker_count_changes_no_bit(tmp_path, uninterrupted, compiled):
    workdir = tmp_path / "workers"
    assert killed_after(1, 0.2, [], workdir, compiled) == -signal.SIGKILL
    assert lines(workdir) < STEPS
    told = call(
        [PRETRAIN, f"--workdir={workdir}", *OFTEN, "--config.data.workers=2"], tmp_path, compiled
    )
    assert told.returncode == 0, told.stderr
    assert_same(workdir, uninterrupted)


@pytest.mark.slow
def test_twenty_five_kills_change_no_bit(tmp_path, uninterrupted, compiled):
    survive(25, 100, tmp_path, uninterrupted, compiled, workers=(0, 2))


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
