"""The one file that touches Orbax: save, resume, and parameters of a run.

A run folder holds `checkpoints/last` (to go on from) and `checkpoints/best` (to use), each with
the two newest steps: where the newest is damaged, the one before is used, with a warning. Orbax
writes under a temporary name and renames; a SHA-256 of all values is kept with each tree and
compared when it is read, so that no changed value is ever used.
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from astro_jax.control import Control
from astro_jax.errors import UserError, kind_and_text, one_line
from astro_jax.optim import path_name
from astro_jax.step import TrainState
from astro_jax.workdir import require_room

KEPT = 2  # steps in each folder
DESCRIBED = 1 << 10  # bytes that Orbax writes of an array beside its values, measured
TREES = ("params", "opt_state")


def save(folder: Path, state: TrainState, control: Control) -> None:
    """Save a state and what evaluation decided; a step that is there already is left alone.

    Of several processes the first one writes.
    """
    if jax.process_index():
        return
    step = int(state.step)
    require_finite_state(state, folder)
    try:
        _save(folder, step, state, control)
    except Exception as error:  # Orbax raises whatever its layers raise, mostly for a full disk
        good = latest_step(folder)
        kept = "none was saved before" if good is None else f"the newest one, {good}, is whole"
        raise UserError(
            f"step {step} cannot be saved in {folder} ({one_line(error, 200)}); {kept}: free some "
            "space, and the same command goes on from there"
        ) from error


def require_finite_state(state: TrainState, folder: Path) -> None:
    """Raise UserError where a parameter or the optimiser's state is not finite.

    The loss and the gradient of a step tell nothing of what the step made of the parameters.
    """
    trees = {"parameter": state.params, "optimiser state": state.opt_state}
    for what, tree in trees.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            if np.issubdtype(leaf.dtype, np.integer) or bool(np.isfinite(leaf).all()):
                continue
            good = latest_step(folder)
            kept = "no step was saved before" if good is None else f"the last good step is {good}"
            raise UserError(
                f"{what} {path_name(path)} is not finite at step {int(state.step)}, which is not "
                f"saved in {folder}; {kept}: lower config.optimizer.schedule.rate or look at the "
                "data"
            )


def size_on_disk(state: TrainState) -> int:
    """Return the bytes that one checkpoint of a state takes; Orbax describes its arrays in JSON."""
    leaves = jax.tree.leaves((state.params, state.opt_state))
    return sum(leaf.size * leaf.dtype.itemsize + DESCRIBED for leaf in leaves)


def _save(folder: Path, step: int, state: TrainState, control: Control) -> None:
    with _manager(folder) as manager:
        if step in manager.all_steps():
            return
        require_room(folder, size_on_disk(state), "a checkpoint")  # Orbax fails less tidily
        host = jax.tree.map(np.asarray, state)
        told = {
            "control": control._asdict(),
            "sha256": {n: digest(getattr(host, n)) for n in TREES},
        }
        trees = {name: ocp.args.StandardSave(getattr(host, name)) for name in TREES}
        manager.save(step, args=ocp.args.Composite(**trees, control=ocp.args.JsonSave(told)))


def resume(folder: Path, fresh: TrainState) -> tuple[TrainState, Control]:
    """Return the newest saved state and its record, or `fresh` where nothing was saved yet.

    A damaged one is put aside under the name `<step>.damaged`, and the one before is taken.
    """
    if not folder.exists():
        return fresh, Control()
    host = jax.tree.map(np.asarray, fresh)
    items = {name: ocp.args.StandardRestore(getattr(host, name)) for name in TREES}
    step, saved, damaged = _newest(folder, items, "remove the run's checkpoints to start anew")
    if step is None:
        return fresh, Control()
    for old in damaged:
        (folder / str(old)).rename(folder / f"{old}.damaged")
    state = TrainState(np.asarray(step, np.int32), saved["params"], saved["opt_state"])
    return state, Control(**saved["control"]["control"])


def latest_step(folder: Path) -> int | None:
    """Return the newest step saved in a folder of checkpoints, None where there is none."""
    if not folder.is_dir():
        return None
    with _manager(folder) as manager:
        return manager.latest_step()


def load_params(run: Path, which: str = "best") -> tuple[Any, int]:
    """Return the parameters of a run folder as numpy arrays, and their step.

    which: "best" (lowest validation RMSE) or "last".
    """
    if which not in ("best", "last"):
        raise UserError(f"step '{which}' is unknown; give 'best' or 'last'")
    folder = run / "checkpoints" / which
    if not folder.is_dir():
        raise UserError(f"{run} has no {which} checkpoint yet; train it first")
    items = {"params": ocp.args.StandardRestore()}
    step, saved, _ = _newest(folder, items, "try the other of step best and last")
    if step is None:
        raise UserError(f"{run} has no {which} checkpoint yet; train it first")
    return saved["params"], step


def _newest(
    folder: Path, items: dict[str, Any], way_out: str
) -> tuple[int | None, dict[str, Any], list[int]]:
    """Return the newest whole step of a folder, its items as numpy, and the damaged ones above it.

    Step None where nothing was saved. Raises UserError where no step is whole.
    """
    with _manager(folder) as manager:
        steps, failed = sorted(manager.all_steps(), reverse=True), []
        for step in steps:
            try:
                with _whole(folder / str(step), way_out):
                    saved = _restored(manager, step, items)
            except UserError as error:
                failed.append(error)
                continue
            for error, old in zip(failed, steps, strict=False):
                logging.warning("%s; step %d is used instead of %d", error, step, old)
            return step, saved, steps[: len(failed)]
    if failed:
        raise failed[0]
    return None, {}, []


def _restored(manager: ocp.CheckpointManager, step: int, items: dict[str, Any]) -> dict[str, Any]:
    """Return items of a step, each compared with its SHA-256."""
    args = ocp.args.Composite(**items, control=ocp.args.JsonRestore())
    saved = dict(manager.restore(step, args=args).items())
    for name in items:
        saved[name] = jax.tree.map(np.asarray, saved[name])
        if digest(saved[name]) != saved["control"]["sha256"][name]:
            raise ValueError(f"{name} are not what was saved")
    return saved


def digest(tree: Any) -> str:
    """Return the SHA-256 of the paths, types, shapes and values of a tree."""
    told = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        value = np.asarray(leaf)
        told.update(f"{path_name(path)} {value.dtype} {value.shape}\n".encode())
        told.update(np.ascontiguousarray(value).tobytes())
    return told.hexdigest()


def warm_start(params: Any, source: Any, name: str) -> Any:
    """Return `source` where its paths and shapes are those of `params`, else raise UserError."""
    ours, theirs = _shapes(params), _shapes(source)
    wrong = [
        f"{path} {ours.get(path, 'absent')} here, {theirs.get(path, 'absent')} there"
        for path in sorted(ours.keys() | theirs.keys())
        if ours.get(path) != theirs.get(path)
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(
            f"config.init={name} does not fit config.model: {'; '.join(wrong[:3])}{more}"
        )
    return jax.tree.map(np.asarray, source)


def fits(params: Any, source: Any) -> bool:
    """Say whether two trees have the same paths and shapes."""
    return _shapes(params) == _shapes(source)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {path_name(path): tuple(np.shape(leaf)) for path, leaf in leaves}


@contextmanager
def _whole(place: Path, way_out: str) -> Iterator[None]:
    """Say in one line that a checkpoint is damaged; Orbax raises whatever its layers raise."""
    try:
        yield
    except Exception as error:
        raise UserError(f"{place} is damaged ({kind_and_text(error)}); {way_out}") from error


def _manager(folder: Path) -> ocp.CheckpointManager:
    me = jax.process_index()  # of several processes: wait for no other
    alone = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process_{me}"
    )
    options = ocp.CheckpointManagerOptions(
        max_to_keep=KEPT,
        enable_async_checkpointing=False,
        create=jax.process_count() == 1,
        multiprocessing_options=(
            alone if jax.process_count() > 1 else ocp.options.MultiprocessingOptions()
        ),
    )
    if jax.process_count() > 1:  # Orbax creates nothing where processes are named
        folder.mkdir(parents=True, exist_ok=True)
    return ocp.CheckpointManager(
        folder.resolve(),
        options=options,
        item_names=("params", "opt_state", "control"),
    )
