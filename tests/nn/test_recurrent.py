"""Recurrent layers against a loop in numpy, their gradients, and what padding may not do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astro_jax.nn.recurrent import GRU, LSTM, StackedLSTM, gru, lstm

B, T, C, D = 3, 7, 2, 4
FUNCTIONS = {"lstm": lstm, "gru": gru}
MASK = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 0, 0, 0], [0, 0, 1, 1, 0, 1, 0]], bool)


def draw(name, seed=0):
    """Return x, kernel, recurrent kernel and bias."""
    rng = np.random.default_rng(seed)
    columns = {"lstm": 4, "gru": 3}[name] * D
    bias = (columns,) if name == "lstm" else (2, columns)
    shapes = [(B, T, C), (C, columns), (D, columns), bias]
    return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def lstm_step(x, state, kernel, recurrent, bias):
    h, c = state
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(x, state, kernel, recurrent, bias):
    (h,) = state
    xz, xr, xn = np.split(x @ kernel + bias[0], 3)
    hz, hr, hn = np.split(h @ recurrent + bias[1], 3)
    z = sigmoid(xz + hz)
    return (z * h + (1 - z) * np.tanh(xn + sigmoid(xr + hr) * hn),)


def in_a_loop(name, mask, x, *weights):
    """Run one step after the other; a masked step repeats the output before it."""
    x, *weights = (np.asarray(a, float) for a in (x, *weights))
    step, states = {"lstm": (lstm_step, 2), "gru": (gru_step, 1)}[name]
    outputs = np.zeros((B, T, D))
    for b in range(B):
        state = (np.zeros(D),) * states
        for t in range(T):
            state = step(x[b, t], state, *weights) if mask[b, t] else state
            outputs[b, t] = state[0]
    return outputs


def run(name, mask, x, *weights):
    return jax.jit(FUNCTIONS[name])(x, mask, *weights)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_layer_is_its_recurrence(name):
    arguments = draw(name)
    outputs = np.asarray(run(name, MASK, *arguments))
    np.testing.assert_allclose(outputs, in_a_loop(name, MASK, *arguments), rtol=0, atol=1e-6)
    assert (outputs[2, :2] == 0).all()  # nothing seen yet
    np.testing.assert_array_equal(outputs[1, 3:], outputs[1, 3:4].repeat(4, 0))  # nothing more


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_those_of_finite_differences(name):
    arguments, probe = draw(name), np.random.default_rng(9).standard_normal((B, T, D))

    def total(*arguments):
        return (FUNCTIONS[name](arguments[0], MASK, *arguments[1:]) * probe).sum()

    gradients = jax.jit(jax.grad(total, argnums=(0, 1, 2, 3)))(*arguments)
    rng, step = np.random.default_rng(1), 1e-6
    for k, gradient in enumerate(gradients):
        way = rng.standard_normal(gradient.shape)
        if k == 0:
            assert (np.asarray(gradient)[~MASK] == 0).all()
        sides = []
        for sign in (1, -1):
            moved = [np.asarray(a, float) for a in arguments]
            moved[k] = moved[k] + sign * step * way
            sides.append((in_a_loop(name, MASK, *moved) * probe).sum())
        expected = (sides[0] - sides[1]) / (2 * step)
        assert np.abs(expected) > 0.1
        assert (np.asarray(gradient) * way).sum() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_padding_holds_changes_no_bit(name):
    x, *weights = draw(name)

    @jax.jit
    def value_and_gradients(x):
        def total(weights):
            outputs = FUNCTIONS[name](x, MASK, *weights)
            return (outputs**2).sum(), outputs

        return jax.value_and_grad(total, has_aux=True)(weights)

    clean = value_and_gradients(x)
    for junk in (1e30, np.nan, np.inf):
        dirty = value_and_gradients(jnp.where(MASK[..., None], x, junk))
        for a, b in zip(jax.tree.leaves(clean), jax.tree.leaves(dirty), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_outputs_do_not_see_the_future(name):
    x, *weights = draw(name)
    later = x.at[:, 4:].add(1.0)
    before, after = run(name, MASK, x, *weights), run(name, MASK, later, *weights)
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert (np.asarray(before)[0, 4:] != np.asarray(after)[0, 4:]).any()


# The modules


def shapes_and_draws(module, x):
    """Return the shapes of the parameters of a module, and parameters drawn at random."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), x, MASK)["params"]
    rng = np.random.default_rng(3)
    draws = jax.tree.map(lambda s: jnp.asarray(rng.standard_normal(s.shape), jnp.float32), shapes)
    return jax.tree.map(jnp.shape, shapes), draws


@pytest.mark.parametrize(("name", "module"), [("lstm", LSTM), ("gru", GRU)])
def test_module_is_its_function(name, module):
    x, *weights = draw(name)
    shapes, p = shapes_and_draws(module(D), x)
    order = ("kernel", "recurrent_kernel", "bias")
    assert shapes == dict(zip(order, map(jnp.shape, weights), strict=True))
    outputs = jax.jit(module(D).apply)({"params": p}, x, MASK)
    expected = run(name, MASK, x, *(p[n] for n in order))
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-6)


def test_parameters_are_drawn_as_in_keras():
    x, seen = jnp.zeros((1, 2, 30)), np.ones((1, 2), bool)
    params = jax.jit(LSTM(10).init)(jax.random.key(0), x, seen)["params"]
    np.testing.assert_array_equal(params["bias"], np.repeat([0.0, 1.0, 0.0, 0.0], 10))
    recurrent = np.asarray(params["recurrent_kernel"])
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(10), atol=1e-5)
    limit = np.sqrt(6 / (30 + 40))
    assert 0.9 * limit < np.abs(params["kernel"]).max() <= limit
    gru_params = jax.jit(GRU(10).init)(jax.random.key(0), x, seen)["params"]
    assert gru_params["bias"].shape == (2, 30) and not gru_params["bias"].any()


def test_stacked_lstm_has_one_norm_between():
    x = draw("lstm")[0]
    shapes, p = shapes_and_draws(StackedLSTM(D), x)
    assert set(shapes) == {"lstm_1", "norm", "lstm_2"}
    outputs = jax.jit(StackedLSTM(D).apply)({"params": p}, x, MASK)
    order = ("kernel", "recurrent_kernel", "bias")
    first = np.asarray(run("lstm", MASK, x, *(p["lstm_1"][n] for n in order)))
    mean, variance = first.mean(-1, keepdims=True), first.var(-1, keepdims=True)
    between = (first - mean) / np.sqrt(variance + 1e-3) * p["norm"]["scale"] + p["norm"]["bias"]
    expected = run("lstm", MASK, between, *(p["lstm_2"][n] for n in order))
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5)
