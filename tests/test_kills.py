"""Runs of the three trainers that are killed at random, also inside saves, end as if they had not.

Parameters, optimiser state, control, metrics and summary are those of the run that was left alone,
to the last bit, and no restart fails.
"""

from pathlib import Path

import pytest
from killing import forking, survive
from tiny import PRETRAIN, ROOT, TINY
from tiny_objects import words
from tiny_transients import BASE

STEPS = 28
OFTEN = [
    f"--config.steps={STEPS}",
    "--config.eval_every=7",
    "--config.log_every=1",
    "--config.checkpoint_seconds=0.2",
]
TRAINERS = {
    "astromer": [PRETRAIN, *TINY],
    "astrom3": [
        f"--config={ROOT / 'configs' / 'pretrain_astrom3.py'}", *words("pretrain_astrom3", STEPS)
    ],
    "transients": BASE,
}  # fmt: skip
FEW, MANY = 8, 67


@pytest.fixture(scope="module")
def forks(compiled):
    """Return the process that starts runs; programs are compiled in half the time."""
    with forking(compiled | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}) as found:
        yield found


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory):
    """Return a function: the name of a trainer -> the folder of a run that was left alone."""
    done: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in done:
            done[name] = tmp_path_factory.mktemp(name) / "whole"
            calm = [*TRAINERS[name], *OFTEN, "--config.checkpoint_seconds=1e9"]
            assert forks.run(calm, done[name]) == 0
        return done[name]

    return of


@pytest.mark.parametrize("name", TRAINERS)
def test_eight_kills_change_no_bit(name, forks, whole, tmp_path):
    told = survive(forks, [*TRAINERS[name], *OFTEN], FEW, 0, tmp_path, whole(name))
    assert told["kills"] == FEW and told["inside"] >= 2 and told["places"] > FEW // 2, told


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINERS)
def test_two_hundred_kills_change_no_bit(name, forks, whole, tmp_path, capsys):
    """67 kills of each trainer: 201."""
    told = survive(forks, [*TRAINERS[name], *OFTEN], MANY, 1, tmp_path, whole(name))
    assert told["kills"] == MANY and told["inside"] > MANY // 8, told
    with capsys.disabled():
        print(f"\n{name}: {told}")
