"""What evaluation decides: which step is best, and when to stop. Pure records."""

import math
from typing import NamedTuple

THRESHOLD = 1e-4  # relative, of a value that is better on a plateau (PyTorch's default)


class Control(NamedTuple):
    """The best value so far (lower is better), its step, the evaluations since, the last one.

    chosen, chosen_step: the same for the metric that selects the step to use, where it is another
    level, stalled, scale: of `plateau`: its best value, the evaluations since, the factor on the
        learning rate
    """

    best: float = math.inf
    best_step: int = -1
    waited: int = 0
    last_step: int = -1
    chosen: float = math.inf
    chosen_step: int = -1
    level: float = math.inf
    stalled: int = 0
    scale: float = 1.0


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


def choose(control: Control, value: float, step: int) -> Control:
    """Return the record after an evaluation whose selecting metric was `value`; lower is better."""
    if value < control.chosen:
        return control._replace(chosen=value, chosen_step=step)
    return control


def plateau(control: Control, value: float, factor: float, patience: int) -> Control:
    """Return the record with the learning rate times `factor` after too long a plateau.

    After more than `patience` evaluations in a row that are not better by a share of 1e-4
    (PyTorch's ReduceLROnPlateau, as AstroM3 has it).
    """
    if value < control.level * (1 - THRESHOLD):
        return control._replace(level=value, stalled=0)
    if control.stalled < patience:
        return control._replace(stalled=control.stalled + 1)
    return control._replace(stalled=0, scale=control.scale * factor)
