"""Training over two processes is training in one."""

import os
import signal
import socket
import time

import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny import PRETRAIN, TINY, call, start

from astro_jax import checkpoint
from astro_jax.errors import UserError
from astro_jax.multihost import check, own_cores
from astro_jax.summary import read_metrics

SHARDED = [f"{PRETRAIN}:official", *TINY, "--config.mode=sharded"]  # compiled in a moment


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def hasty(compiled):
    """Return an environment whose programs are compiled in half the time."""
    return {**compiled, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


@pytest.fixture(scope="module")
def alone(hasty, tmp_path_factory):
    """Return the folder of the run in one process."""
    folder = tmp_path_factory.mktemp("alone")
    told = call([*SHARDED, f"--workdir={folder / 'run'}"], folder, hasty)
    assert told.returncode == 0, told.stderr
    return folder / "run"


def together(words, folder, env, workdir):
    """Start two processes of a run; return them."""
    port = free_port()
    words = [*words, f"--workdir={workdir}"]
    hosts = [f"--config.multihost=localhost:{port}/{k}/2" for k in range(2)]
    return [start([*words, host], folder, env) for host in hosts]


def ended(processes):
    try:
        told = [process.communicate(timeout=400) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], told


def assert_same_run(ours, theirs):
    """Compare metrics to 1e-6, and parameters to what Adam makes of such differences."""
    rows = [read_metrics(folder / "metrics.jsonl") for folder in (ours, theirs)]
    assert len(rows[0]) == len(rows[1]) > 4
    for one, other in zip(*rows, strict=True):
        assert (one["step"], one["split"]) == (other["step"], other["split"])
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-6)
    params = [checkpoint.load_params(folder, "last")[0] for folder in (ours, theirs)]
    kernels = [p["embed"]["kernel"] for p in params]
    np.testing.assert_allclose(*kernels, atol=1e-5)


def test_two_processes_train_as_one(alone, hasty, tmp_path):
    workdir = tmp_path / "run"
    codes, told = ended(together(SHARDED, tmp_path, hasty, workdir))
    assert codes == [0, 0], told[0][1][-3000:] + told[1][1][-3000:]
    assert_same_run(workdir, alone)
    assert "best step" in told[0][0] and "step" not in told[1][0]  # Gloo itself says a word
    files = {path.name for path in workdir.iterdir()}
    assert {"config.json", "metrics.jsonl", "summary.json", "checkpoints"} <= files
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_process_on_each_core_trains_as_one(alone, hasty, tmp_path):
    if own_cores() < 2:
        pytest.skip("one core")
    words = [*SHARDED, f"--workdir={tmp_path / 'run'}", "--config.multihost=local/2"]
    told = call(words, tmp_path, hasty)
    assert told.returncode == 0, told.stderr[-3000:]
    assert_same_run(tmp_path / "run", alone)


def test_a_mistake_ends_all(hasty, tmp_path):
    (tmp_path / "run").write_text("a file")
    codes, told = ended(together(SHARDED, tmp_path, hasty, tmp_path / "run"))
    assert codes[0] == 1 and "cannot be a folder" in told[0][1]
    assert codes[1] not in (0, None)


@pytest.mark.slow
def test_a_signal_to_one_stops_both_and_one_process_goes_on(hasty, tmp_path):
    rare = ["--config.eval_every=100", "--config.checkpoint_seconds=1"]
    words, workdir = [*SHARDED, "--config.steps=200", *rare], tmp_path / "run"
    processes = together(words, tmp_path, hasty, workdir)
    while not (workdir / "checkpoints").exists() and processes[0].poll() is None:
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    codes, told = ended(processes)
    assert codes == [75, 75], told[0][1][-3000:]
    step = checkpoint.latest_step(workdir / "checkpoints" / "last")
    assert 0 < step < 200
    whole = call([*words, f"--workdir={tmp_path / 'one'}"], tmp_path, hasty)
    rest = call([*words, f"--workdir={workdir}"], tmp_path, hasty)
    again, told = ended(together(words, tmp_path, hasty, workdir))
    assert again == [0, 0] and "is finished; nothing to train" in told[0][0]
    assert whole.returncode == rest.returncode == 0, rest.stderr
    rows = [read_metrics(f / "metrics.jsonl") for f in (workdir, tmp_path / "one")]
    assert [r["step"] for r in rows[0]] == [r["step"] for r in rows[1]]
    assert rows[0][-1]["loss"] == pytest.approx(rows[1][-1]["loss"], rel=1e-3)


@pytest.mark.parametrize(
    "change,message",
    [
        ({"multihost": "slrm"}, "HOST:PORT/i/N"),
        ({"multihost": "localhost:1/2/2"}, "HOST:PORT/i/N"),
        ({"multihost": "local/9999"}, "local/9999: there are"),
        ({"multihost": "local/0"}, "nor local/N"),
        ({"mode": "jit"}, "mode=sharded"),
        ({"job": "astro_jax.classify:run"}, "for pre-training"),
    ],
)
def test_what_cannot_run_so_is_refused(change, message):
    words = {"multihost": "auto", "mode": "sharded", "job": "astro_jax.pretrain:run"}
    assert check(ConfigDict(words)) == {}
    slurm = check(ConfigDict({**words, "multihost": "slurm"}))
    assert slurm == {"cluster_detection_method": "slurm"}
    with pytest.raises(UserError, match=message):
        check(ConfigDict({**words, **change}))


def test_alone_it_says_so(tmp_path, hasty):
    env = {k: v for k, v in hasty.items() if not k.startswith(("SLURM", "OMPI", "JAX_COORD"))}
    words = [*SHARDED, f"--workdir={tmp_path / 'run'}", "--config.multihost=slurm"]
    told = call(words, tmp_path, env)
    assert told.returncode == 1 and "start them by srun" in told.stderr, told.stderr
    assert "Traceback" not in told.stderr and not os.listdir(tmp_path)
