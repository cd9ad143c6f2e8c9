"""The command line: one config, one job.

    python -m astro_jax.main --config=configs/pretrain_macho.py [--workdir=runs/x] [--config.key=v]

Exit codes: 0 done, 1 a mistake in what was given (one line on stderr), 75 stopped by a signal with
the state saved: the same command goes on.
"""

import ctypes
import hashlib
import os
import platform
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from astro_jax.errors import STOPPED, UserError, one_line, suggest

HELP = ("--help", "-help", "-h", "--h", "help")


def main(argv: Sequence[str]) -> int:
    """Run the job that the command line describes; return the exit code."""
    if len(argv) < 2 or any(word in HELP for word in argv[1:]):
        print(f"{__doc__.strip()}\n\n{_usage()}")
        return 0 if len(argv) > 1 else 1
    try:
        with terminable():
            keep_compiled()  # before anything imports jax
            keep_memory()
            config, workdir = parse(argv)
            from astro_jax.spec import resolve  # after the flags: --help must be quick

            job = resolve(config.job)
            if config.get("multihost"):
                from astro_jax.multihost import run_together

                return run_together(job, config, workdir, argv[1:])
            return job(config, workdir)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except RuntimeError as error:  # of JAX, where the device or the machine has too little memory
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print(f"error: {one_line(error)}; give a smaller batch_size or window", file=sys.stderr)
        return 1
    except OSError as error:  # a folder that may not be written to, a full disk
        from astro_jax.workdir import explain

        print(f"error: {explain(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped by a signal; the same command goes on from there", file=sys.stderr)
        return STOPPED


def keep_compiled() -> None:
    """Keep compiled programs for later processes, unless the environment says where or not at all.

    In the cache folder ($ASTRO_JAX_CACHE, else ~/.cache/astro_jax), apart by processor: a program
    compiled for one may not run on another.
    """
    from astro_jax.fetch import cache_folder

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    kind = next((line for line in lines if line.startswith("flags")), platform.processor())
    name = hashlib.blake2b(kind.encode(), digest_size=6).hexdigest()
    try:
        folder = cache_folder() / "compiled" / name
    except RuntimeError:  # a user without a home
        return
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))


def keep_memory() -> None:
    """Let the buffers of one step serve the next: freed memory stays with the process (glibc).

    By default each large buffer is mapped anew and unmapped, and the kernel clears its pages: a
    quarter of the processor time of a training step of AstroM3 on CPU. A larger peak is possible
    where buffers of many sizes come and go. Before threads start, since they take what is set.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX: no mapping of single buffers
        mallopt(-1, -1)  # M_TRIM_THRESHOLD: nothing is given back
        mallopt(-8, 1)  # M_ARENA_MAX: one heap for all threads, or what one frees is lost to others


@contextmanager
def terminable() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C where nothing better is set; the training loop sets better."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def parse(argv: Sequence[str]) -> tuple[ConfigDict, Path]:
    """Return the config with its overrides, and the folder of the run.

    Raises UserError, with the nearest known name, for a config, key, value or flag that is not.
    """
    values = _flags(argv, [word for word in argv[1:] if not word.startswith("--config.")])
    known = _keys(values["config"].value)
    for word in argv[1:]:
        key = re.match(r"--config\.([^=]*)", word)
        if key and key[1] not in known:
            raise UserError(f"no config key '{key[1]}'{suggest(key[1], known)}")
    values = _flags(argv, argv[1:])
    name = values["config"].config_filename
    return values["config"].value, Path(values["workdir"].value or default_workdir(name))


def default_workdir(name: str) -> Path:
    """Return runs/<name of the config>, with the variant where there is one."""
    path, _, variant = name.partition(":")
    return Path("runs") / "_".join(part for part in (Path(path).stem, variant) if part)


def _flags(argv: Sequence[str], words: Sequence[str]) -> flags.FlagValues:
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, "", flag_values=values, sys_argv=[argv[0], *words]
    )
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    try:
        rest = values([argv[0], *words])[1:]
        name = values["config"].config_filename if values["config"].present else None
    except (flags.Error, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{_one_line(error)}; see --help") from error
    except UserError:
        raise
    except Exception as error:  # whatever the code of a config raises
        raise UserError(f"the config does not load: {_one_line(error)}") from error
    if name is None:
        raise UserError("no config: give --config=configs/pretrain_macho.py, or see --help")
    if rest:
        raise UserError(f"'{rest[0]}' is not a flag; write --config.key=value")
    _config(values, name)
    return values


def _config(values: flags.FlagValues, name: str) -> ConfigDict:
    """Return the loaded config; a failure to load it is kept by the library until it is used."""
    path = Path(name.partition(":")[0])
    if not path.is_file():
        folders = {path.parent, Path("configs")}
        there = [str(p) for folder in folders for p in folder.glob("*.py")]
        raise UserError(f"no config '{path}'{suggest(str(path), there)}")
    try:
        values["config"].value.job  # noqa: B018
    except UserError:
        raise
    except Exception as error:
        if isinstance(error.__cause__ or error.__context__, UserError):
            raise UserError(str(error.__cause__ or error.__context__)) from error
        raise UserError(f"{path} does not load: {_one_line(error)}") from error
    return values["config"].value


def _keys(config: ConfigDict, prefix: str = "") -> set[str]:
    keys = set()
    for name, value in config.items():
        keys |= (
            _keys(value, f"{prefix}{name}.") if isinstance(value, ConfigDict) else {prefix + name}
        )
    return keys


def _one_line(error: Exception) -> str:
    return one_line(str(error).replace("\\n", " ") or type(error).__name__, most=2000)


def _usage() -> str:
    folder = Path("configs")
    found = sorted(str(p) for p in folder.glob("*.py")) if folder.is_dir() else []
    lines = [
        "flags:",
        "  --config=FILE.py[:variant]  the experiment; every key in it can be overridden:",
        "  --config.key.of.it=value",
        "  --workdir=FOLDER            where the run is kept (default: runs/<config>[_<variant>])",
    ]
    return "\n".join(lines + (["configs here:"] + [f"  {name}" for name in found] if found else []))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
