"""The loop in parts; whole runs are in test_main, test_resume and test_fitting."""

import importlib.util
import os
import signal
import threading

import jax
import numpy as np
import pytest
from tiny import ROOT, toy_curves

from astro_jax.data.curves import from_arrays
from astro_jax.data.pipeline import WINDOWS, window_valid
from astro_jax.errors import UserError
from astro_jax.models.astromer import Paper
from astro_jax.optim import constant
from astro_jax.spec import spec
from astro_jax.step import Mean
from astro_jax.summary import read_metrics
from astro_jax.train import (
    Log,
    assemble,
    evaluate,
    is_resident,
    require_finite,
    steps_at_once,
    stop_on_signal,
    train,
)


@pytest.fixture
def config():
    where = importlib.util.spec_from_file_location("c", ROOT / "configs" / "pretrain_macho.py")
    module = importlib.util.module_from_spec(where)
    where.loader.exec_module(module)
    found = module.get_config()
    found.model.update(width=16, heads=2, ffn=16, blocks=1)
    found.update(batch_size=8, window=32, steps=3, eval_every=3, eval_windows=0, log_every=1)
    return found


def test_splits_smaller_than_a_batch_are_padded_never_dropped(config, tmp_path):
    """Padding rows weigh nothing: the validation is that of the same curves in other batches."""
    curves, valid = from_arrays(toy_curves(3, 30)), from_arrays(toy_curves(5, 30, seed=1))
    outcome = train(config, curves, valid, tmp_path)
    assert not outcome.stopped and int(outcome.state.step) == 3
    expected = read_metrics(tmp_path / "metrics.jsonl")[-1]["rmse_hidden"]
    state = outcome.state
    config.batch_size = 2
    system = assemble(config, curves)
    got = evaluate(system, state, window_valid(config, valid))["rmse_hidden"]
    assert got == pytest.approx(expected, rel=1e-5) and got > 0


def test_a_frozen_parameter_stays_and_the_others_move(config, tmp_path):
    with config.optimizer.ignore_type():
        config.optimizer.rules = (("^embed/.*", None), (".*bias", 0.1))
    curves = from_arrays(toy_curves(8, 40))
    before = jax.tree.map(np.asarray, assemble(config, curves).fresh.params)
    after = train(config, curves, curves, tmp_path).state.params
    np.testing.assert_array_equal(after["embed"]["kernel"], before["embed"]["kernel"])
    assert np.abs(after["decoder"]["dense"]["kernel"] - before["decoder"]["dense"]["kernel"]).max()


def test_a_rule_that_matches_nothing_lists_the_paths(config):
    with config.optimizer.ignore_type():
        config.optimizer.rules = (("enc/.*", None),)
    with pytest.raises(UserError, match="no parameter matches 'enc/.*'; paths are .*embed/kernel"):
        assemble(config, from_arrays(toy_curves(8, 40)))


def test_what_is_not_finite_is_named_with_its_step(tmp_path):
    require_finite("loss", 1.0, 3, tmp_path)
    with pytest.raises(UserError, match="loss is not finite at step 3; no step was saved before"):
        require_finite("loss", float("nan"), 3, tmp_path)


def test_every_step_is_checked_not_only_those_that_are_logged(config, tmp_path):
    class Silent:
        def advance(self, count):
            pass

    config.log_every = 10
    log = Log(Silent(), config, tmp_path)
    for step, loss in ((1, 1.0), (2, np.inf), (3, 1.0)):
        log.step(step, {"loss": Mean(loss, 1.0), "gradient_norm": Mean(1.0, 1.0)})
    with pytest.raises(UserError, match="at step 2"):
        log.check()


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_event_and_handlers_come_back(kind):
    before = signal.getsignal(kind)
    with stop_on_signal() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), kind)
        assert stop.wait(1)
    assert signal.getsignal(kind) is before


def test_outside_the_main_thread_there_are_no_handlers():
    seen = []

    def work():
        with stop_on_signal() as stop:
            seen.append(stop.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def last_metrics(workdir):
    rows = read_metrics(workdir / "metrics.jsonl")
    return [{k: v for k, v in row.items() if k != "split"} for row in rows]


@pytest.fixture
def small(config, tmp_path):
    """Return the config with a network that compiles soon, and make the folders of two runs."""
    config.model = spec(Paper, width=16, heads=2, ffn=16, blocks=1)
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    return config


@pytest.mark.parametrize("at_once", [1, 2])
def test_data_on_the_device_train_the_same_network(small, tmp_path, at_once):
    config = small
    curves, valid = from_arrays(toy_curves(7, 50)), from_arrays(toy_curves(5, 30, seed=1))
    config.update(steps=4, eval_every=4, log_every=2)
    train(config, curves, valid, tmp_path / "one")
    config.update(resident="yes", steps_at_once=at_once)
    train(config, curves, valid, tmp_path / "other")
    host, device = (last_metrics(tmp_path / name) for name in ("one", "other"))
    assert [row["step"] for row in host] == [row["step"] for row in device] == [2, 4, 4]
    for a, b in zip(host, device, strict=True):  # times differ by a rounding of float32
        assert a == pytest.approx(b, rel=1e-4)


def test_with_data_on_the_device_resume_is_exact(small, tmp_path):
    config = small
    curves, valid = from_arrays(toy_curves(7, 50)), from_arrays(toy_curves(5, 30, seed=1))
    config.update(resident="yes", steps=8, eval_every=2, log_every=2, steps_at_once=2)
    config.optimizer.schedule = spec(constant, rate=1e-3)
    whole = train(config, curves, valid, tmp_path / "one").state
    config.steps = 4
    train(config, curves, valid, tmp_path / "other")
    config.steps = 8
    parts = train(config, curves, valid, tmp_path / "other").state
    jax.tree.map(np.testing.assert_array_equal, whole, parts)
    assert last_metrics(tmp_path / "one") == last_metrics(tmp_path / "other")


def test_steps_at_once_must_meet_the_stops(config):
    config.update(steps=40, eval_every=20, log_every=10)
    assert steps_at_once(config) == 10
    config.update(steps=400, eval_every=200, log_every=100)
    assert steps_at_once(config) == 20
    config.steps_at_once = 7
    with pytest.raises(UserError, match="steps_at_once=7 must divide.* a divisor of 100"):
        steps_at_once(config)


def test_where_data_cannot_live_on_the_device(config):
    curves = from_arrays(toy_curves(8, 40))
    assert not is_resident(config, curves, WINDOWS)  # a CPU: auto means no
    config.update(resident="yes", mode="pmap")
    with pytest.raises(UserError, match="mode jit or sharded"):
        assemble(config, curves)


def test_metrics_are_read_an_interval_late_and_all_before_a_save(config, tmp_path):
    class Written:
        rows: list = []

        def advance(self, count):
            pass

        def rate(self, step, value):
            pass

        def write(self, step, split, metrics):
            self.rows.append(step)

    config.log_every = 2
    log = Log(Written(), config, tmp_path)
    stacked = {name: Mean(np.ones(2), np.ones(2)) for name in ("loss", "gradient_norm")}
    log.step(2, stacked, 2)
    assert Written.rows == []
    log.step(4, stacked, 2)
    assert Written.rows == [2]
    log.check()
    assert Written.rows == [2, 4]
