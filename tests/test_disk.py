"""A full disk, a read-only folder, a missing permission, a folder in use: said in one line."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny import PRETRAIN, ROOT, TINY, labelled_survey

from astro_jax.checkpoint import load_params
from astro_jax.data.table import write_table
from astro_jax.main import main

TRAINERS = (
    "pretrain_macho", "finetune", "classify", "regress", "pretrain_astrom3", "classify_astrom3",
    "train_ztf", "transfer_bts", "tune_astrom3", "learning_curve",
)  # fmt: skip
NOBODY = 65534


def config(name: str) -> str:
    return f"--config={ROOT / 'configs' / name}.py"


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "survey.parquet"
    write_table(labelled_survey(8), str(path))
    return path


@pytest.fixture
def jobs(finished, classified, survey):
    """Return what writes one file, by name, without the output."""
    data = f"--config.data.path={survey}"
    return {
        "convert": [config("convert"), f"--config.input={survey}"],
        "embed": [config("embed"), f"--config.init={finished}", data],
        "predict": [config("predict"), f"--config.init={classified}", data],
    }


def run(words: list[str], capsys) -> tuple[int, str]:
    """Run a command line; return its exit code and its error, checked to be one line."""
    capsys.readouterr()
    code = main(["main", *words])
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(err) == (code == 1)
    return code, "".join(err)


@contextmanager
def files_of_at_most(size: int):
    """Let no file of this process grow beyond `size` bytes: writing fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def mounted(folder: Path, options: str):
    """Mount a small disk in memory on a folder; skip where that is not permitted."""
    folder.mkdir(exist_ok=True)
    mount = shutil.which("mount")
    command = [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if not mount or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a disk in memory needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def as_nobody():
    """Run as a user who may write nowhere, if root."""
    if os.getuid():
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


# A full disk


@pytest.mark.parametrize("job", ["convert", "embed", "predict"])
def test_a_full_disk_leaves_no_half_file(jobs, job, tmp_path, capsys):
    output = tmp_path / "out" / "x.parquet"
    words = [*jobs[job], f"--config.output={output}"]
    assert run(words, capsys) == (0, "")
    whole = output.read_bytes()
    shutil.rmtree(output.parent)
    with files_of_at_most(2000):
        code, error = run(words, capsys)
    assert code == 1 and str(output) in error and "free some space" in error
    assert not output.parent.exists() or not any(output.parent.iterdir())
    assert run(words, capsys)[0] == 0 and output.read_bytes() == whole


@pytest.mark.parametrize("size", [1500, 12_000])
def test_training_on_a_full_disk_goes_on_where_there_is_room(
    size, finished, tmp_path, capsys, hastily
):
    """Metrics find no room at 1,500 bytes a file, checkpoints at 12,000."""
    words = [PRETRAIN, *TINY, "--config.checkpoint_seconds=0", f"--workdir={tmp_path / 'w'}"]
    with files_of_at_most(size):
        code, error = run(words, capsys)
    assert code == 1 and str(tmp_path / "w") in error and "free some space" in error
    assert run(words, capsys)[0] == 0
    metrics = [(folder / "metrics.jsonl").read_bytes() for folder in (tmp_path / "w", finished)]
    assert metrics[0] == metrics[1]


def test_too_little_room_is_said_before_the_training(tmp_path, capsys, hastily):
    with mounted(tmp_path / "disk", "size=60k"):
        code, error = run([PRETRAIN, *TINY, f"--workdir={tmp_path}/disk/w"], capsys)
        assert code == 1 and "MB free" in error and "choose another place" in error
        assert not (tmp_path / "disk" / "w" / "checkpoints").exists()


def test_a_disk_that_fills_up_keeps_the_last_good_step(tmp_path, capsys, hastily):
    words = [PRETRAIN, *TINY, "--config.steps=300", "--config.checkpoint_seconds=0"]
    with mounted(tmp_path / "disk", "size=1000k"):
        code, error = run([*words, f"--workdir={tmp_path}/disk/w"], capsys)
        assert code == 1 and f"{tmp_path}/disk/w" in error and "free some space" in error
        names = os.listdir(tmp_path / "disk/w/checkpoints/last")
        step = max(int(name) for name in names if name.isdigit())
        assert load_params(tmp_path / "disk" / "w", "last")[1] <= step


def test_too_little_room_is_said_before_the_work(jobs, tmp_path, capsys):
    with mounted(tmp_path / "disk", "size=60k"):
        for words in jobs.values():
            code, error = run([*words, f"--config.output={tmp_path}/disk/x.parquet"], capsys)
            assert code == 1 and "MB free" in error
        assert not any((tmp_path / "disk").iterdir())


# Folders that may not be written to


@pytest.mark.parametrize("kind", ["read-only", "forbidden"])
def test_a_folder_that_may_not_be_written_to(kind, jobs, tmp_path, capsys):
    top = tempfile.mkdtemp()
    os.chmod(top, 0o755)  # anybody may look into it
    folder = Path(top) / "place"
    outputs = [[*words, f"--config.output={folder}/x.parquet"] for words in jobs.values()]
    outputs += [[config(name), f"--workdir={folder}"] for name in TRAINERS]
    outputs += [[config(name), f"--workdir={folder}/new/run"] for name in TRAINERS]
    if kind == "forbidden":
        folder.mkdir(mode=0o555)
        place = as_nobody()
    else:
        place = mounted(folder, "ro")
    for words in outputs:  # what a job imports must be there before it is nobody's
        run([*words, "--config.nothing=1"], capsys)
    with place:
        for words in outputs:
            code, error = run(words, capsys)
            assert code == 1 and str(folder) in error and "choose another" in error, words
        assert not any(os.scandir(folder))
    shutil.rmtree(top)


# A folder in use

HOLD = """
import fcntl, sys
handle = open(sys.argv[1], "a+")
fcntl.lockf(handle, fcntl.LOCK_EX)
handle.write(str(__import__("os").getpid()))
handle.flush()
print(flush=True)
sys.stdin.read()
"""


def test_every_trainer_refuses_a_folder_in_use(tmp_path, capsys):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        holder.stdout.readline()
        before = sorted(os.listdir(tmp_path))
        for name in TRAINERS:
            code, error = run([config(name), f"--workdir={tmp_path}"], capsys)
            assert code == 1 and f"is in use by process {holder.pid}" in error, (name, error)
        assert sorted(os.listdir(tmp_path)) == before
    finally:
        holder.communicate()
