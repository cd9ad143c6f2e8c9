"""What is not finite in an input, a gradient or a parameter stops a run and is never saved."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from killing import saved
from test_kills import TRAINERS
from tiny import config_of, toy_curves

from astro_jax.data.curves import from_arrays
from astro_jax.errors import UserError
from astro_jax.main import main
from astro_jax.objectives.reconstruction import reconstruction
from astro_jax.spec import spec
from astro_jax.step import Mean, Objective
from astro_jax.train import train


@pytest.fixture
def config():
    found = config_of("pretrain_macho")
    found.model.update(width=16, heads=2, ffn=16, blocks=1)
    found.update(batch_size=8, window=32, steps=8, eval_every=4, eval_windows=0, log_every=1)
    found.checkpoint_seconds = 0
    return found


def steps_in(workdir) -> dict[str, list[int]]:
    """Return the steps that a run has saved, having checked that they are finite."""
    found = {}
    for which in ("last", "best"):
        folder = workdir / "checkpoints" / which
        names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        found[which] = sorted(int(name) for name in names if name.isdigit())
        if found[which]:
            step, arrays, _ = saved(workdir, which)
            assert step == found[which][-1]
            assert all(np.isfinite(a).all() for a in arrays.values())
    return found


@pytest.mark.parametrize("name", TRAINERS)
def test_a_parameter_that_overflows_is_never_saved(name, tmp_path, capsys, hastily):
    """A rate above the largest float32: the loss of the step is finite, its parameters are not."""
    words = ["--config.optimizer.schedule.rate=1e39", "--config.checkpoint_seconds=0"]
    words += ["--config.steps=6", "--config.log_every=1", f"--workdir={tmp_path / 'w'}"]
    assert main(["main", *TRAINERS[name], *words]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "is not finite at step" in error
    assert str(tmp_path / "w") in error
    assert not any(step > 1 for step in steps_in(tmp_path / "w")["best"])


def test_an_input_that_is_not_finite_stops_the_run(config, tmp_path, hastily):
    """Readers take such points out; this is what happens where one comes in by another way."""
    curves, bad = toy_curves(8, 40), toy_curves(8, 40)
    for curve in bad:
        curve[7, 1] = np.nan
    with pytest.raises(UserError, match="loss is not finite at step 1; the last good step, 0"):
        train(config, from_arrays(bad), from_arrays(curves), tmp_path)
    assert steps_in(tmp_path) == {"last": [0], "best": []}


def with_bad_gradient(apply):
    """Return the objective of reconstruction plus 0, whose gradient is infinite."""
    usual = reconstruction(apply=apply, probed=0.5, random=0.2, same=0.2)

    def metrics(params, batch, key, train):
        found = dict(usual.metrics(params, batch, key, train))
        leaf = jax.tree.leaves(params)[0].ravel()[0]
        loss = found["loss"]
        zero = jnp.sqrt((leaf - jax.lax.stop_gradient(leaf)) ** 2)
        return {**found, "loss": Mean(loss.total + zero, loss.weight)}

    return Objective(metrics, usual.link)


def test_a_gradient_that_is_not_finite_stops_the_run(config, tmp_path, hastily):
    config.objective = spec(with_bad_gradient)
    curves = from_arrays(toy_curves(8, 40))
    with pytest.raises(UserError, match="gradient_norm is not finite at step 1"):
        train(config, curves, curves, tmp_path)
    assert steps_in(tmp_path) == {"last": [0], "best": []}
