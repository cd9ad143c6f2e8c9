"""Runs that are killed at random moments, and the comparison of two runs bit by bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp


def lines(workdir: Path) -> int:
    """Return how many lines of metrics a run has written: its clock on a busy machine."""
    path = workdir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def half_saved(workdir: Path) -> list[str]:
    """Return the temporary folders of checkpoints that are being written, or were when killed."""
    return [
        name
        for which in ("last", "best")
        if (folder := workdir / "checkpoints" / which).is_dir()
        for name in os.listdir(folder)
        if not name.isdigit() and not name.endswith(".damaged")
    ]


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


class Kill(NamedTuple):
    """When to kill: after `more` lines of metrics and `delay` seconds, or inside a save."""

    more: int
    delay: float
    inside: bool


class Forks:
    """The process of `forks.py`: see `forking`."""

    def __init__(self, process: subprocess.Popen):
        self._process = process

    def run(self, words: list[str], workdir: Path, kill: Kill | None = None) -> int:
        """Run a command line to its end or until it is killed; return its exit code."""
        log = workdir.with_suffix(".log")
        words = [*words, f"--workdir={workdir}"]
        print(json.dumps([words, str(log)]), file=self._process.stdin, flush=True)
        pid = int(self._process.stdout.readline())
        if kill:
            wait_and_kill(pid, workdir, kill)
        code = int(self._process.stdout.readline())
        assert code in (0, -signal.SIGKILL), log.read_text()[-3000:]
        return code


def wait_and_kill(pid: int, workdir: Path, kill: Kill) -> None:
    """Send SIGKILL at the moment that `kill` names, unless the run ends before."""
    target, deadline = lines(workdir) + kill.more, time.monotonic() + 300
    while time.monotonic() < deadline and ended(pid) is False:
        if lines(workdir) >= target and (not kill.inside or half_saved(workdir)):
            time.sleep(kill.delay)
            break
        time.sleep(0.001)
    if not ended(pid):
        os.kill(pid, signal.SIGKILL)


def ended(pid: int) -> bool:
    """Tell whether a process has ended (it is reaped by the one that forked it)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@contextmanager
def forking(env: Mapping[str, str]) -> Iterator[Forks]:
    """Yield a process that starts runs."""
    script = Path(__file__).with_name("forks.py")
    process = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    try:
        yield Forks(process)
    finally:
        process.stdin.close()
        process.wait(timeout=60)


def survive(
    forks: Forks, words: list[str], kills: int, seed: int, folder: Path, whole: Path
) -> dict:
    """Kill runs at `kills` random moments, restart each until it ends, compare it with `whole`.

    Half of the kills wait for a temporary folder of a checkpoint. Returns what was counted.
    """
    rng, reached, inside, runs = random.Random(seed), [], 0, 0
    while len(reached) < kills:
        workdir = folder / f"run_{runs}"
        more, delay = rng.randint(1, 4), rng.uniform(0, 0.3)
        within = rng.random() < 0.5
        kill = Kill(more, rng.uniform(0, 0.03) if within else delay, within)
        if forks.run(words, workdir, kill) == 0:  # it ended before
            assert_same(workdir, whole)
            runs += 1
            continue
        inside += bool(half_saved(workdir))
        reached.append((runs, lines(workdir)))
    if forks.run(words, workdir) == 0:
        assert_same(workdir, whole)
    return {"kills": len(reached), "inside": inside, "places": len(set(reached)), "runs": runs + 1}
