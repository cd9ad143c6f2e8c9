"""Fixtures of all tests."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny import CLASSIFY, PRETRAIN, ROOT, TINY, environment, labelled_survey
from tiny_transients import BASE, SMALL, TRANSFER, labelled_transients

from astro_jax.data.table import write_table
from astro_jax.data.transient_table import write_transients
from astro_jax.main import main

# Programs compiled by one test, or one process, are there for the next; before jax is imported.
_CACHE = tempfile.TemporaryDirectory(prefix="astro_jax_tests_")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _CACHE.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of shared reference files, or skip where it is absent."""
    root = Path(__file__).parents[1]
    folder = root / os.environ.get("ASTRO_JAX_SHARED", "../shared")
    if not folder.is_dir():
        pytest.skip(f"no shared files at {folder} (set ASTRO_JAX_SHARED)")
    return folder


@pytest.fixture(scope="session")
def compiled(tmp_path_factory) -> dict[str, str]:
    """Return an environment whose processes share their compiled programs."""
    return environment(tmp_path_factory.mktemp("compiled"))


@contextmanager
def hasty() -> Iterator[None]:
    """Compile in half the time, to slower programs: for runs that take few steps."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)


def ended(folder: Path, *words: str) -> Path:
    """Run a command line hastily with the workdir `folder / "run"`; return that once it is done."""
    with hasty():
        assert main(["main", *words, f"--workdir={folder / 'run'}"]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def hastily() -> Iterator[None]:
    """Compile as in `hasty` in the tests of a module."""
    with hasty():
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """Return the folder of a tiny run that has ended."""
    return ended(tmp_path_factory.mktemp("finished"), PRETRAIN, *TINY)


@pytest.fixture(scope="session")
def labelled(tmp_path_factory) -> Path:
    """Return an object table of `labelled_survey`."""
    path = tmp_path_factory.mktemp("labelled") / "survey.parquet"
    write_table(labelled_survey(), str(path))
    return path


@pytest.fixture(scope="session")
def classify_words(labelled, finished) -> list[str]:
    """Return the command line of `classified`, without the folder."""
    config = f"--config={ROOT / 'configs' / 'classify.py'}:fusion"
    return [config, f"--config.init={finished}", f"--config.data.path={labelled}", *CLASSIFY]


@pytest.fixture(scope="session")
def classified(classify_words, tmp_path_factory) -> Path:
    """Return the folder of a tiny classifier that has ended."""
    return ended(tmp_path_factory.mktemp("classified"), *classify_words)


@pytest.fixture(scope="session")
def transient_base(tmp_path_factory) -> Path:
    """Return the folder of a tiny classifier of simulated transients."""
    return ended(tmp_path_factory.mktemp("transient_base"), *BASE)


@pytest.fixture(scope="session")
def transient_file(tmp_path_factory) -> Path:
    """Return an object table of `labelled_transients`."""
    path = tmp_path_factory.mktemp("transients") / "yse.parquet"
    write_transients(labelled_transients(), str(path))
    return path


@pytest.fixture(scope="session")
def transfer_words(transient_base, transient_file) -> list[str]:
    """Return the command line of `transferred`, without the folder."""
    words = [f"--config.init={transient_base}", f"--config.data.path={transient_file}"]
    return [TRANSFER, *SMALL, *words, "--config.labels=40", "--config.baselines=True"]


@pytest.fixture(scope="session")
def transferred(transfer_words, tmp_path_factory) -> Path:
    """Return the folder of a tiny transfer with 40 labels."""
    return ended(tmp_path_factory.mktemp("transferred"), *transfer_words)
