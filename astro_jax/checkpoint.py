"""The one file that touches Orbax: save, resume, and parameters of a run.

A run folder holds `checkpoints/last` (to go on from) and `checkpoints/best` (to use), each with
the newest step only. Orbax writes under a temporary name and renames.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from astro_jax.control import Control
from astro_jax.errors import UserError
from astro_jax.optim import path_name
from astro_jax.step import TrainState


def save(folder: Path, state: TrainState, control: Control) -> None:
    """Save a state and what evaluation decided; a step that is there already is left alone."""
    step = int(state.step)
    with _manager(folder) as manager:
        if step in manager.all_steps():
            return
        host = jax.tree.map(np.asarray, state)
        manager.save(
            step,
            args=ocp.args.Composite(
                params=ocp.args.StandardSave(host.params),
                opt_state=ocp.args.StandardSave(host.opt_state),
                control=ocp.args.JsonSave(control._asdict()),
            ),
        )


def resume(folder: Path, fresh: TrainState) -> tuple[TrainState, Control]:
    """Return the newest saved state and its record, or `fresh` where nothing was saved yet."""
    if not folder.exists():
        return fresh, Control()
    with _manager(folder) as manager:
        step = manager.latest_step()
        if step is None:
            return fresh, Control()
        host = jax.tree.map(np.asarray, fresh)
        items = ocp.args.Composite(
            params=ocp.args.StandardRestore(host.params),
            opt_state=ocp.args.StandardRestore(host.opt_state),
            control=ocp.args.JsonRestore(),
        )
        with _whole(folder / str(step), "remove the run's checkpoints to start anew"):
            saved = manager.restore(step, args=items)
    state = TrainState(np.asarray(step, np.int32), saved["params"], saved["opt_state"])
    return state, Control(**saved["control"])


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
    with _manager(folder) as manager:
        step = manager.latest_step()
        if step is None:
            raise UserError(f"{run} has no {which} checkpoint yet; train it first")
        item = ocp.args.Composite(params=ocp.args.StandardRestore())
        with _whole(folder / str(step), "try the other of step best and last"):
            saved = manager.restore(step, args=item)
    return jax.tree.map(np.asarray, saved["params"]), step


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
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"{place} is damaged ({reason}); {way_out}") from error


def _manager(folder: Path) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
    return ocp.CheckpointManager(
        folder.resolve(),
        options=options,
        item_names=("params", "opt_state", "control"),
    )
