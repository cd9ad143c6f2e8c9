"""Training over several processes: who they are, what they must agree on, who writes.

Every process runs the same job on the same data.  The rows of a batch are split over the devices
of all of them (`parallel`, mode sharded), so that the global batch, and with it every number, is
that of one process.  Process 0 alone has the folder of the run; the others work in a scratch
folder and end with the training.
"""

import contextlib
import json
import logging
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from astro_jax.control import Control
from astro_jax.errors import STOPPED, UserError, kind_and_text
from astro_jax.parallel import on_cpu
from astro_jax.workdir import explain

JOBS = ("astro_jax.pretrain:run", "astro_jax.pretrain_objects:run")  # one training each
LOCAL = "local/"
METHODS = ("auto", "slurm", "ompi", "mpi4py")  # of jax.distributed.initialize
RECORD = 4096  # bytes of a shared record: those of `Control` are some 200
PATIENCE = 7 * 86_400  # seconds that the others wait for the closing report of process 0


def run_together(job: Callable, config: ConfigDict, workdir: Path, words: Sequence[str]) -> int:
    """Join the processes that `config.multihost` describes and run a job; return the exit code.

    "auto" finds Slurm, Open MPI, Kubernetes and TPU pods by their environment; a method of METHODS
    names one; "HOST:PORT/i/N" is process i of N, of which process 0 listens at HOST:PORT; "local/N"
    starts the others with the same `words` of the command line, on the cores of this machine.
    A process that fails ends at once, whereupon the others are ended by JAX.
    """
    arguments = check(config)
    try:
        if config.multihost.startswith(LOCAL):
            command = [sys.executable, "-m", "astro_jax.main", *words]
            arguments = start_others(arguments["num_processes"], command)
        join(arguments)
        if config.multihost.startswith(LOCAL) and not on_cpu():
            raise UserError(
                f"config.multihost={config.multihost} shares out the cores of a CPU, but JAX uses "
                f"{jax.default_backend()}, all of whose devices serve one process with "
                "config.mode=sharded (or hide them: JAX_PLATFORMS=cpu)"
            )
        first = jax.process_index() == 0
        finished = share({"finished": first and (workdir / "summary.json").exists()})["finished"]
        if first:
            return job(config, workdir)
        return 0 if finished else follow(job, config)
    except UserError as error:
        return _leave(f"error: {error}", 1)
    except OSError as error:
        return _leave(f"error: {explain(error)}", 1)
    except KeyboardInterrupt:
        return _leave("stopped by a signal; the same command goes on from there", STOPPED)


def check(config: ConfigDict) -> dict[str, Any]:
    """Return the arguments of `jax.distributed.initialize`; UserError for what cannot run so."""
    word = config.multihost
    if config.job not in JOBS:
        raise UserError(f"config.multihost={word} is for pre-training, not for {config.job}")
    if config.mode != "sharded":
        raise UserError(f"config.multihost={word} needs --config.mode=sharded, not {config.mode}")
    found = re.fullmatch(r"(.+:\d+)/(\d+)/(\d+)", word)
    if found and int(found[2]) < int(found[3]):
        names = ("coordinator_address", "num_processes", "process_id")
        return dict(zip(names, (found[1], int(found[3]), int(found[2])), strict=True))
    found = re.fullmatch(LOCAL + r"([1-9]\d*)", word)
    if found:
        cores = own_cores()
        if int(found[1]) > cores:
            raise UserError(f"config.multihost={word}: there are {cores} cores")
        return {"num_processes": int(found[1])}
    if word not in METHODS:
        raise UserError(
            f"config.multihost '{word}' is none of {', '.join(METHODS)}, nor local/N, nor "
            "HOST:PORT/i/N with i from 0 to N - 1"
        )
    return {} if word == "auto" else {"cluster_detection_method": word}


def own_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start_others(number: int, command: Sequence[str]) -> dict[str, Any]:
    """Start all processes but this one, each for its share of the cores; return how to join them.

    Before JAX has looked for devices. `command` must take `--config.multihost` as its last word.

    One thread that does a whole micro-batch is faster than two that share every operation of it:
    on two cores two processes train ASTROMER up to 1.2 times as fast as one (`experiments/speed`).
    """
    with socket.socket() as found:
        found.bind(("localhost", 0))
        address = f"localhost:{found.getsockname()[1]}"
    os.environ["NPROC"] = str(max(own_cores() // number, 1))  # threads of JAX's CPU client
    for k in range(1, number):
        subprocess.Popen([*command, f"--config.multihost={address}/{k}/{number}"])
    return {"coordinator_address": address, "num_processes": number, "process_id": 0}


def join(arguments: dict[str, Any]) -> None:
    """Let this process be one of several; UserError where the others cannot be found."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    logging.getLogger("jax._src.clusters.cluster").setLevel(logging.CRITICAL)  # said below
    try:
        jax.distributed.initialize(**arguments, shutdown_timeout_seconds=PATIENCE)
    except (ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:
        raise UserError(
            "the processes of a multi-host run do not come together "
            f"({kind_and_text(error, 300)}); start them by srun, mpirun or the like, "
            "or give each --config.multihost=HOST:PORT/i/N"
        ) from error


def follow(job: Callable, config: ConfigDict) -> int:
    """Run a job without a word, in a folder that is gone afterwards; return its exit code."""
    os.environ["TQDM_DISABLE"] = "1"
    with (
        tempfile.TemporaryDirectory() as scratch,
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        try:
            return job(config, Path(scratch) / "run")
        except Trained as end:
            return STOPPED if end.args[0] else 0


class Trained(Exception):  # noqa: N818
    """The training of a process that is not the first has ended; whether by a signal."""


def end_of_training(stopped: bool) -> None:
    """End the job of a process that is not the first: reports are not its work."""
    if jax.process_index():
        raise Trained(stopped)


def shared_start(state: Any, control: Control) -> tuple[Any, Control]:
    """Return state and record of process 0 in all processes: it alone has the checkpoints."""
    if jax.process_count() == 1:
        return state, control
    from jax.experimental import multihost_utils

    state = multihost_utils.broadcast_one_to_all(jax.tree.map(np.asarray, state))
    return jax.tree.map(np.asarray, state), Control(**share(control._asdict()))


def share(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record of process 0 in all processes, its numbers to the last bit."""
    if jax.process_count() == 1:
        return record
    from jax.experimental import multihost_utils

    text = json.dumps(record).encode().ljust(RECORD)
    sent = multihost_utils.broadcast_one_to_all(np.frombuffer(text, np.uint8))
    return json.loads(np.asarray(sent).tobytes())


def agreed(stop: bool, step: int, every: int) -> bool:
    """Say whether to stop at a step: all processes must, or those that go on wait forever.

    In one process `stop` itself; in several, what any of them wants, asked every so many steps.
    """
    if jax.process_count() == 1:
        return stop
    if step % every:
        return False
    from jax.experimental import multihost_utils

    return bool(np.any(multihost_utils.process_allgather(np.array([stop]))))


def _leave(message: str, code: int) -> int:
    """End this process at once: the usual end waits for the others, which wait for this one."""
    print(message, file=sys.stderr)
    if jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
