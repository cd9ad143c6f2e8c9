"""Schedules, and rules by parameter path."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from astro_jax.errors import UserError
from astro_jax.optim import adam, constant, label_by_path, noam, stop_frozen, warmup_cosine

RATE = 0.1


def make_params():
    return {
        "embed": {"kernel": jnp.ones(3), "bias": jnp.ones(2)},
        "block_0": {"kernel": jnp.ones(4)},
        "head": {"kernel": jnp.ones(5)},
    }


def step(optimizer, gradient=None):
    """Return the parameters after one step."""
    params = make_params()
    gradient = gradient or jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    return optax.apply_updates(params, updates)


def test_first_step_of_adam_is_the_rate():
    for leaf in jax.tree.leaves(step(adam(constant(RATE)))):
        np.testing.assert_allclose(leaf, 1 - RATE, rtol=1e-5)


def test_noam_is_the_formula():
    rate = noam(256, 4000)
    for count in (0, 1, 10, 3999, 4000, 50_000):
        expected = 256**-0.5 * min((count + 1) ** -0.5, (count + 1) * 4000**-1.5)
        assert float(rate(jnp.array(count))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("steps", "warmup"), [(100, 10), (10, 100), (1, 0), (1, 10)])
def test_warmup_cosine_rises_and_falls(steps, warmup):
    rates = [float(warmup_cosine(1e-3, steps, warmup)(n)) for n in range(steps + 1)]
    assert np.isfinite(rates).all()
    assert 0 <= min(rates) <= max(rates) <= 1e-3 * (1 + 1e-6)
    if steps > 2:
        peak = int(np.argmax(rates))
        assert rates[peak] == pytest.approx(1e-3, rel=1e-5)
        assert peak == min(warmup, steps // 2)
        assert rates[-1] == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("one", [1, 1.0])
def test_first_matching_rule_counts(one):
    rules = {"embed/bias": one, "embed/": None, "^head": 0.1}
    after = step(adam(constant(RATE), weight_decay=0.01, rules=rules))
    full = 1 - RATE * 1.01  # Adam and the decay
    np.testing.assert_array_equal(after["embed"]["kernel"], 1.0)  # frozen: no decay either
    np.testing.assert_allclose(after["embed"]["bias"], full, rtol=1e-5)
    np.testing.assert_allclose(after["block_0"]["kernel"], full, rtol=1e-5)
    np.testing.assert_allclose(after["head"]["kernel"], 1 - 0.1 * RATE * 1.01, rtol=1e-5)


def test_labels_by_path():
    labels = label_by_path(make_params(), {"kernel$": None, "embed": 0.5})
    assert labels["embed"] == {"kernel": "frozen", "bias": "0.5"}
    assert labels["head"] == {"kernel": "frozen"}


def test_frozen_parameters_get_no_gradient():
    rules = (("^embed/", None), ("kernel$", 0.1))

    def total(params):
        return sum(leaf.sum() for leaf in jax.tree.leaves(stop_frozen(params, rules)))

    gradient = jax.grad(total)(make_params())
    assert not gradient["embed"]["kernel"].any() and not gradient["embed"]["bias"].any()
    np.testing.assert_array_equal(gradient["head"]["kernel"], 1.0)
    params = make_params()
    assert stop_frozen(params, ()) is params and stop_frozen(params, None) is params


def test_rule_without_a_match_lists_the_paths():
    with pytest.raises(UserError, match="no parameter matches 'enc/.*'; paths are .*embed/kernel"):
        step(adam(constant(RATE), rules={"enc/.*": None}))


def test_clipping_bounds_the_global_norm():
    def second_moment(gradient):
        optimizer = adam(constant(RATE), clip=1.0)
        params = make_params()
        _, state = optimizer.update(gradient, optimizer.init(params), params)
        return sum(float(nu.sum()) for nu in jax.tree.leaves(optax.tree.get(state, "nu")))

    small = jax.tree.map(lambda p: 0.01 * p, make_params())
    large = jax.tree.map(lambda p: 100.0 * p, make_params())
    share = 1 - 0.999  # of the squared norm that enters the second moment at once
    assert second_moment(large) == pytest.approx(share, rel=1e-3)
    assert second_moment(small) == pytest.approx(share * 14 * 0.01**2, rel=1e-3)
