"""What tests of training on several devices share: a few steps, and results that must agree."""

import jax
import numpy as np

from astro_jax.optim import path_name


def few_steps(steps, state, batches, count: int) -> dict[str, np.ndarray]:
    """Return parameters, losses and metrics by path after `count` steps and an evaluation.

    steps: of `parallel.compile_steps`; state: the first one; batches: the map step -> batch
    """
    state, losses = steps.place_state(state), []
    for step in range(count):
        state, metrics = steps.train(state, steps.place_batch(batches(step)), jax.random.key(1))
        losses.append(steps.fetch(metrics["loss"]))
    evaluated = steps.evaluate(state.params, steps.place_batch(batches(9)), jax.random.key(2))
    tree = {"params": steps.fetch(state.params), "valid": steps.fetch(evaluated), "losses": losses}
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {path_name(path): np.asarray(leaf) for path, leaf in leaves}


def assert_same(ours, theirs, having: str, rtol: float) -> None:
    """Compare results of `few_steps`, among them the one called `having`."""
    assert set(ours) == set(theirs) and having in ours
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=rtol, atol=2e-6, err_msg=name)
