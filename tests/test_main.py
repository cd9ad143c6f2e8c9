"""The command line: exit codes, one-line errors, what a run leaves behind."""

import json
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from matplotlib.image import imread
from tiny import PRETRAIN, ROOT, TINY, call, start

from astro_jax.main import default_workdir, keep_compiled, main
from astro_jax.summary import read_metrics
from astro_jax.workdir import locked


def run_main(*words: str) -> int:
    return main(["main", *map(str, words)])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Help


def test_help_is_quick_and_imports_no_jax():
    code = (
        "import sys; from astro_jax.main import main; code = main(['main', '--help']);"
        "sys.exit(code or 'jax' in sys.modules or 'flax' in sys.modules)"
    )
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
        times.append(time.perf_counter() - begin)
        assert told.returncode == 0, told.stderr
    assert b"--workdir" in told.stdout and b"configs/pretrain_macho.py" in told.stdout
    assert min(times) < 0.5


def test_no_arguments_show_the_help_and_fail(capsys):
    assert run_main() == 1
    assert "--config=FILE.py" in capsys.readouterr().out


# Mistakes: one line, a suggestion, exit code 1, nothing left behind

MISTAKES = {
    "key": (["--config.stepz=3"], "no config key 'stepz' (did you mean 'steps'?)"),
    "nested key": (["--config.model.widht=3"], "did you mean 'model.width'?"),
    "whole": (["--config.model=3"], "no config key 'model'"),
    "number": (["--config.steps=abc"], "--config.steps=abc"),
    "flag": (["--confg.steps=2"], "confg.steps"),
    "word": (["steps=3"], "'steps=3' is not a flag"),
    "path": (["--config.data.path=nowhere.parquet"], "nowhere.parquet"),
    "init": (["--config.init=bass"], "shipped weights 'bass'"),
    "mode": (["--config.mode=jitt"], "did you mean 'jit'?"),
    "monitor": (["--config.monitor=rmsee"], "did you mean 'rmse'?"),
    "loss": (["--config.objective.loss=window_men"], "did you mean 'window_mean'?"),
    "noise cut": (["--config.data.noise_cut=anny"], "did you mean 'any'?"),
    "choices": (["--config.mode=x"], "config.mode 'x' is unknown (one of: jit, pmap, sharded)\n"),
    "empty choice": (["--config.data.noise_cut=x"], "'x' is unknown (one of: '', all, any)\n"),
    "survey": (["--config.data.simulate.survey=mcho"], "did you mean 'macho'?"),
    "heads": (["--config.model.heads=3"], "multiple of 3 heads"),
    "steps": (["--config.steps=0"], "config.steps=0 must be at least 1"),
    "seed": (["--config.seed=-1"], "config.seed=-1 must be at least 0"),
    "large seed": (["--config.seed=4294967296"], "config.seed=4294967296 must be at most"),
    "batch": (["--config.batch_size=-8"], "config.batch_size=-8 must be at least 1"),
    "fraction": (["--config.objective.probed=1.5"], "between 0 and 1"),
    "target": (["--config.model.target=nobody:knows"], "no target 'nobody:knows'"),
    "job": (["--config.job=astro_jax.pretrain:ran"], "no target 'astro_jax.pretrain:ran'"),
    "too few stars": (["--config.data.simulate.stars=1"], "1 star"),
    "band": (["--config.data.band=X"], "X"),
    "split beyond all": (["--config.data.split=(0.9,0.3)"], "such as (0.6, 0.2)"),
    "split of three": (["--config.data.split=(0.5,0.2,0.3)"], "such as (0.6, 0.2)"),
    "split in words": (["--config.data.split=(a,b)"], "such as (0.6, 0.2)"),
    "workdir in a file": ([f"--workdir={ROOT / 'README.md'}/run"], "choose another"),
    "workdir is a file": ([f"--workdir={ROOT / 'README.md'}"], "cannot be a folder"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_the_way_out(here, capsys, name):
    words, message = MISTAKES[name]
    assert run_main(PRETRAIN, *TINY, *words) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err
    assert not list(here.glob("runs/*/checkpoints/*"))


@pytest.mark.parametrize(
    "words,message",
    [
        (["--workdir=x"], "no config"),
        ([f"--config={ROOT}/configs/pretrain_mach.py"], "did you mean"),
        ([f"{PRETRAIN}:papr"], "did you mean 'paper'?"),
        ([f"--config={ROOT}/configs/embed.py"], "--config.init"),
        ([f"--config={ROOT}/configs/convert.py"], "--config.input"),
    ],
)
def test_a_mistake_in_the_config_itself(here, capsys, words, message):
    assert run_main(*words) == 1
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not list(here.iterdir())


def test_a_config_without_its_folder_is_found(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert run_main("--config=convert.py") == 1
    assert "did you mean 'configs/convert.py'?" in capsys.readouterr().err


def test_what_the_system_refuses_is_one_line(here, capsys, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device", "x.parquet")

    monkeypatch.setattr("astro_jax.convert.run", refuse)
    assert run_main(f"--config={ROOT}/configs/convert.py") == 1
    err = capsys.readouterr().err
    assert err.startswith("error: x.parquet: No space left on device; free some space")
    assert err.count("\n") == 1


def test_too_little_memory_is_one_line_and_other_errors_keep_their_traceback(
    here, capsys, monkeypatch
):
    def fail(text):
        def job(*_):
            raise RuntimeError(text)

        monkeypatch.setattr("astro_jax.convert.run", job)
        return run_main(f"--config={ROOT}/configs/convert.py")

    assert fail("RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes") == 1
    assert "give a smaller batch_size or window" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="something else"):
        fail("something else")


def test_a_config_that_does_not_load_is_one_line(here, capsys):
    (here / "broken.py").write_text("def get_config():\n    return 1 / 0\n")
    assert run_main("--config=broken.py") == 1
    err = capsys.readouterr().err
    assert "does not load: division by zero" in err and err.count("\n") == 1


def test_a_mistake_leaves_the_process_with_code_1_and_no_traceback(here, compiled):
    told = call([PRETRAIN, "--config.stepz=3"], here, compiled)
    assert told.returncode == 1 and told.stdout == ""
    assert told.stderr == "error: no config key 'stepz' (did you mean 'steps'?)\n"


def test_a_start_that_failed_does_not_reserve_its_folder(here, capsys):
    assert run_main(PRETRAIN, *TINY, "--config.data.path=nowhere.parquet") == 1
    assert run_main(PRETRAIN, *TINY, "--config.data.path=nowhere.csv") == 1
    assert "another config" not in capsys.readouterr().err


# A run


def test_the_default_folder():
    assert default_workdir("configs/pretrain_macho.py") == Path("runs/pretrain_macho")
    assert default_workdir("a/b/pretrain_macho.py:paper") == Path("runs/pretrain_macho_paper")


def test_a_whole_run_with_workers(here, compiled):
    """Its output, its folder; the loader works in processes; a second start only reports."""
    command = [PRETRAIN, *TINY, "--config.data.workers=2"]
    told = call(command, here, compiled)
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert lines[0].startswith("No config.data.path: simulating a MACHO-like survey of 8 stars")
    for line, name in zip(lines[1:5], ("read", "kept", "filtered", "quarantined"), strict=True):
        assert line.split()[0] == name and line.split()[2] == "objects"
    assert "linear interpolation" in told.stdout and "4/4" in told.stderr
    folder = here / "runs" / "pretrain_macho"
    for name in ("config.json", "metrics.jsonl", "summary.json", "quarantine.csv"):
        assert (folder / name).stat().st_size > 0, name
    assert (folder / "quarantine.csv").read_text().startswith("file,object,band")
    assert list((folder / "tensorboard").glob("events*"))
    assert {p.name for p in (folder / "checkpoints" / "last").iterdir()} == {"2", "4"}
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.name != ".lock"}
    again = call(command, here, compiled)
    assert again.returncode == 0 and "is finished; nothing to train" in again.stdout
    assert lines[-1] in again.stdout
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.name != ".lock"}


def test_the_summary_compares_with_plain_predictors(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert set(summary["rmse_hidden"]) == {"valid", "test"}
    for scores in summary["rmse_hidden"].values():
        assert set(scores) == {"model", "mean of visible points", "linear interpolation"}
        assert all(0 < value < 10 for value in scores.values())
    assert sum(summary["curves"].values()) == 16  # 8 stars in two bands
    assert summary["best_step"] in (2, 4)


@pytest.mark.parametrize("name", ["reconstruction.png", "training.png"])
def test_pictures_are_not_blank(finished, name):
    picture = imread(finished / name)[..., :3]
    assert min(picture.shape[:2]) > 300
    assert picture.std() > 0.02
    assert (picture.min(axis=-1) < 0.9).any(axis=0).mean() > 0.5  # ink over half of the width


def test_metrics_are_a_function_of_the_config(finished, tmp_path, hastily):
    assert run_main(PRETRAIN, f"--workdir={tmp_path / 'again'}", *TINY) == 0
    again = (tmp_path / "again" / "metrics.jsonl").read_bytes()
    assert again == (finished / "metrics.jsonl").read_bytes()
    assert len(read_metrics(finished / "metrics.jsonl")) == 6


def test_another_seed_gives_another_run(finished, tmp_path):
    assert run_main(PRETRAIN, f"--workdir={tmp_path / 'seed'}", *TINY, "--config.seed=1") == 0
    other = read_metrics(tmp_path / "seed" / "metrics.jsonl")
    assert other[0]["loss"] != read_metrics(finished / "metrics.jsonl")[0]["loss"]


def test_dry_run_writes_nothing(here, capsys):
    assert run_main(PRETRAIN, *TINY, "--config.dry_run=True") == 0
    told = capsys.readouterr().out
    for name in ("parameters", "FLOPs a step", "memory a step", "rate"):
        assert name in told
    assert not list(here.iterdir())


def test_a_folder_of_another_config_is_refused_with_the_keys(finished, capsys):
    words = [PRETRAIN, f"--workdir={finished}", *TINY, "--config.seed=3", "--config.steps=9"]
    assert run_main(*words) == 1
    err = capsys.readouterr().err
    assert "seed: 0 -> 3" in err and "steps: 4 -> 9" in err and err.count("\n") == 1


def test_early_stopping_ends_a_run(here):
    words = ["--config.steps=40", "--config.eval_every=1", "--config.patience=2"]
    assert run_main(PRETRAIN, *TINY, *words, "--config.optimizer.schedule.rate=1.0") == 0
    valid = [
        line["rmse_hidden"]
        for line in read_metrics(here / "runs/pretrain_macho/metrics.jsonl")
        if line["split"] == "valid"
    ]
    assert 3 <= len(valid) < 40
    assert min(valid[-2:]) >= min(valid[:-2])


def test_nan_stops_the_run_and_names_the_last_good_step(here, capsys):
    words = ["--config.steps=40", "--config.optimizer.schedule.rate=1e30"]
    assert run_main(PRETRAIN, *TINY, *words, "--config.checkpoint_seconds=0") == 1
    err = capsys.readouterr().err
    assert "is not finite at step" in err and "Traceback" not in err
    kept = [int(p.name) for p in (here / "runs/pretrain_macho/checkpoints/last").iterdir()]
    assert f"the last good step, {max(kept)}, is in" in err


# Locks and signals


def test_a_folder_in_use_is_refused_until_its_process_is_killed(here, compiled):
    command = [PRETRAIN, *TINY, "--config.steps=100000", "--config.data.workers=2"]
    owner = start(command, here, compiled)
    try:
        metrics = here / "runs" / "pretrain_macho" / "metrics.jsonl"
        deadline = time.monotonic() + 200
        while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
            assert owner.poll() is None, owner.communicate()[1]
            time.sleep(0.05)
        refused = call(command, here, compiled)
        assert refused.returncode == 1
        assert f"is in use by process {owner.pid}" in refused.stderr
        assert refused.stderr.count("\n") == 1
    finally:
        owner.kill()
        owner.communicate(timeout=30)  # its workers, which hold the pipes, end too
    assert owner.returncode == -signal.SIGKILL
    with locked(here / "runs" / "pretrain_macho"):  # though its workers may still be ending
        pass


def test_a_forked_child_does_not_hold_the_lock(tmp_path, compiled):
    code = (
        "import os, sys, time; from pathlib import Path; from astro_jax.workdir import locked\n"
        "with locked(Path('w')):\n"
        "    if os.fork() == 0:\n"
        "        os.close(1); time.sleep(60); os._exit(0)\n"
        "    print('child', flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert owner.stdout.readline() == "child\n"
    owner.wait()
    try:
        os.killpg(owner.pid, 0)  # the child is alive
        with locked(tmp_path / "w"):
            pass
    finally:
        os.killpg(owner.pid, signal.SIGKILL)
        owner.stdout.close()


def test_a_signal_before_the_first_step_is_code_75(here, compiled):
    command = [PRETRAIN, *TINY, "--config.data.simulate.stars=100000"]
    process = start(command, here, compiled)
    assert process.stdout.readline().startswith("No config.data.path")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75
    assert err == "stopped by a signal; the same command goes on from there\n"


def test_main_leaves_signal_handlers_as_they_were(capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert run_main(PRETRAIN, "--config.stepz=3") == 1
    assert signal.getsignal(signal.SIGTERM) is before
    assert multiprocessing.active_children() == []


def test_compiled_programs_are_kept_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("ASTRO_JAX_CACHE", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    keep_compiled()
    folder = Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    assert folder.parent == tmp_path / "compiled"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    keep_compiled()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "elsewhere"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an allocator of its own")
def test_memory_that_was_freed_serves_again():
    """Without `keep_memory` the kernel clears each page of the second buffer once more."""
    code = """
import resource, sys
import numpy as np
from astro_jax.main import keep_memory
if sys.argv[1] == "kept":
    keep_memory()
np.ones(2**25)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**25)  # 256 MiB: 65,536 pages
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = [
        int(subprocess.run([sys.executable, "-c", code, word], capture_output=True).stdout)
        for word in ("kept", "not")
    ]
    assert faults[0] < 1000 and faults[1] > 20 * faults[0]
