"""What evaluation decides: which step is best, and when to stop. Pure records."""

import math
from typing import NamedTuple


class Control(NamedTuple):
    """The best value so far (lower is better), its step, the evaluations since, the last one."""

    best: float = math.inf
    best_step: int = -1
    waited: int = 0
    last_step: int = -1


def observe(control: Control, value: float, step: int, least: float = 0.0) -> Control:
    """Return the record after an evaluation that gave `value` at `step`.

    least: what a better value must be better by (Keras' min_delta)
    """
    if value < control.best - least:
        return Control(value, step, 0, step)
    return control._replace(waited=control.waited + 1, last_step=step)


def exhausted(control: Control, patience: int) -> bool:
    """Say whether `patience` evaluations in a row brought nothing better; 0 = never."""
    return 0 < patience <= control.waited
