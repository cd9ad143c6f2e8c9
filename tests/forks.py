"""A process that has imported the trainers once, and forks a child for each command line it reads.

To start a run then takes no seconds of imports; a child is killed like any other process. Nothing
is computed before a fork, so that every child starts its own XLA.
"""

import json
import os
import sys

import jax  # noqa: F401
import orbax.checkpoint  # noqa: F401

import astro_jax.pretrain
import astro_jax.pretrain_objects
import astro_jax.report
import astro_jax.transient_training  # noqa: F401
from astro_jax.main import main


def child(words: list[str], log: str) -> None:
    """Run a command line with its output in a file, and end this process."""
    handle = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    code = 99
    try:
        code = main(["main", *words])
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    for line in sys.stdin:
        words, log = json.loads(line)
        pid = os.fork()
        if not pid:
            child(words, log)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
