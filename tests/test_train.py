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
from astro_jax.data.pipeline import window_valid
from astro_jax.errors import UserError
from astro_jax.step import Mean
from astro_jax.summary import read_metrics
from astro_jax.train import Log, assemble, evaluate, require_finite, stop_on_signal, train


@pytest.fixture
def config():
    spec = importlib.util.spec_from_file_location("c", ROOT / "configs" / "pretrain_macho.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
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
        def advance(self):
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
