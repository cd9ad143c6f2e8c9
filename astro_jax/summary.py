"""What a training run says while it goes: TensorBoard, metrics.jsonl, a progress bar."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from astro_jax.errors import UserError
from astro_jax.workdir import naming, write_text


class Summary:
    """Writes to `workdir/tensorboard`, `workdir/metrics.jsonl` and the terminal.

    metrics.jsonl holds only what is a function of the config, so that an interrupted and an
    uninterrupted run give the same file; it is cut back to the step that training goes on from.
    """

    def __init__(self, workdir: Path, start: int, steps: int):
        from tensorboard.summary import Writer

        self._path = workdir / "metrics.jsonl"
        cut_back(self._path, start)
        self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115
        self._board = Writer(str(workdir / "tensorboard"))
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            initial=start,
            total=steps,
            unit="step",
            dynamic_ncols=True,
            mininterval=0.2 if terminal else 20.0,
            maxinterval=1.0 if terminal else 60.0,
        )
        self._shown: dict[str, str] = {}

    def advance(self, count: int = 1) -> None:
        """Move the progress bar on by some steps."""
        self._bar.update(count)

    def write(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        """Record the metrics of a split at a step."""
        self._file.write(json.dumps({"step": step, "split": split, **metrics}) + "\n")
        for name, value in metrics.items():
            self._board.add_scalar(f"{split}/{name}", value, step)
        self._shown |= {
            f"{split}_{k}": f"{v:.4f}"
            for k, v in metrics.items()
            if k != "loss" and k.startswith("rmse") and k != "rmse"
        }
        self._bar.set_postfix(self._shown, refresh=False)

    def rate(self, step: int, value: float) -> None:
        """Record the windows a second; not in metrics.jsonl, since it differs between runs."""
        self._board.add_scalar("rate/windows_per_second", value, step)

    def sync(self) -> None:
        """Bring what was written to the disk, before the checkpoint that presupposes it."""
        with naming(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._board.flush()

    def close(self) -> None:
        """Finish all files."""
        self.sync()
        self._file.close()
        self._board.close()
        self._bar.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics file; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); remove it or its broken lines") from error


def cut_back(path: Path, step: int) -> None:
    """Drop the lines after `step` from a metrics file."""
    lines = read_metrics(path)
    kept = [line for line in lines if line["step"] <= step]
    if path.exists():
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
