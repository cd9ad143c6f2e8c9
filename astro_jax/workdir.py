"""The folder of a run: its lock, its config, and writing files so that a kill loses nothing."""

import errno
import fcntl
import glob
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from astro_jax.errors import UserError, one_line
from astro_jax.tree import flatten

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
LEAST_ROOM = 1 << 20  # bytes; less is not worth to begin
# What may differ between a run and its continuation: it changes no number.
FREE = ("data.workers", "checkpoint_seconds", "dry_run", "multihost")


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Hold the folder for this process.

    A POSIX record lock: it ends with the process, however that ends, and child processes do not
    inherit it.  Raises UserError where another process holds it.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--workdir={workdir} cannot be a folder ({error.strerror}); choose another"
        ) from error
    if not os.access(workdir, os.W_OK | os.X_OK):
        raise UserError(f"--workdir={workdir} may not be written to; choose another")
    with open(workdir / ".lock", "a+") as handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            owner = handle.read().strip() or "unknown"
            raise UserError(
                f"{workdir} is in use by process {owner}; wait for it or choose another --workdir"
            ) from error
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


@contextmanager
def clocked(workdir: Path) -> Iterator[Callable[[], float]]:
    """Yield a function that returns the seconds that a run has taken, over all its starts.

    Each start is kept in clock.json.  One that was killed ended, as far as can be told, when it
    last wrote its metrics, which it does at every checkpoint.
    """
    path, seen = workdir / "clock.json", workdir / "metrics.jsonl"
    past = read_json(path)["starts"] if path.exists() and seen.exists() else []
    last = seen.stat().st_mtime if past else 0.0
    past = [[begin, end or max(begin, last)] for begin, end in past]
    begin = time.time()
    before = sum(end - start for start, end in past)
    if (workdir / "summary.json").exists():  # finished: this start only reports
        yield lambda: before
        return

    def write(end: float | None) -> None:
        write_text(path, json.dumps({"starts": [*past, [begin, end]]}) + "\n")

    write(None)
    try:
        yield lambda: before + time.time() - begin
    finally:
        with suppress(OSError):  # of a full disk: what filled it is the error to tell
            write(time.time())


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Give an error of the operating system the name of the file that it is about, if it has none.

    A write that finds the disk full does not say where.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise OSError(error.errno, error.strerror or one_line(error), str(path)) from error
        raise


def explain(error: OSError) -> str:
    """Return what went wrong with a file, and what to do, in one line."""
    where = f"{error.filename}: " if error.filename else ""
    what = where + (error.strerror or one_line(error))
    if error.errno in FULL:
        return f"{what}; free some space, or choose another place: the same command then goes on"
    if error.errno in FORBIDDEN:
        return f"{what}; choose a place that may be written to (--workdir, --config.output)"
    return what


def require_room(folder: Path, size: int, what: str) -> None:
    """Raise UserError where fewer than `size` bytes are free in a folder: before the work."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise UserError(
            f"{folder} has {free / 1e6:,.1f} MB free, and {what} takes {size / 1e6:,.1f} MB: free "
            "some space or choose another place"
        )


def check_output(output: Path, source: str = "") -> None:
    """Raise UserError for a file that cannot be written, before the work and not after it.

    source: the path, folder or glob that is read: an output among its files would replace it
    """
    if output.is_dir():
        raise UserError(f"--config.output={output} is a folder; name a file, such as x.parquet")
    names = [source] if os.path.exists(source) else glob.glob(source, recursive=True)
    written, read = output.resolve(), [Path(name).resolve() for name in names]
    if output.exists() and any(path in (written, *written.parents) for path in read):
        raise UserError(f"--config.output={output} is among what is read, {source}; name another")
    parent = next(p for p in output.absolute().parents if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        why = "may not be written to" if parent.is_dir() else "is no folder"
        raise UserError(f"--config.output={output}: {parent} {why}; choose another place")
    require_room(parent, LEAST_ROOM, "any output")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with naming(path):
            temporary.write_bytes(content)
            os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) under a temporary name, then rename it."""
    write_bytes(path, text.encode("utf-8"))


def claim(workdir: Path, config: Mapping[str, Any]) -> None:
    """Write the config of a new run; refuse a folder where another config was trained.

    A folder where no step was saved (a start that failed, say on a wrong path) is free.
    """
    path = workdir / "config.json"
    trained = any((workdir / name).exists() for name in ("checkpoints", "summary.json"))
    if not trained:
        write_text(path, json.dumps(config, indent=1, sort_keys=True) + "\n")
        return
    differing = differences(read_json(path), config)
    if differing:
        raise UserError(
            f"{workdir} was made with another config ({'; '.join(differing)}); "
            "give the same config or another --workdir"
        )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return "key: old -> new" for every key that differs and is not free to."""
    before, after = flatten(old, "."), flatten(json.loads(json.dumps(new)), ".")
    keys = sorted(before.keys() | after.keys())
    return [
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in keys
        if key not in FREE and before.get(key) != after.get(key)
    ]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; a broken one is a UserError that names it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} cannot be read (no JSON object but a {type(content).__name__})")
    return content
