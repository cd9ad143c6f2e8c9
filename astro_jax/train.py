"""The training loop: evaluate -> save -> next(batch) -> step -> log."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from astro_jax import checkpoint, optim
from astro_jax.control import Control, choose, exhausted, observe, plateau
from astro_jax.data.pipeline import WINDOWS, Feed, train_iterator
from astro_jax.errors import UserError
from astro_jax.parallel import Compiled, compile_steps
from astro_jax.spec import build
from astro_jax.step import TrainState, init_state
from astro_jax.summary import Summary
from astro_jax.weights import initial_params

EVAL_STREAM = 2**31  # probes of evaluation are drawn as if at this step: never those of training


class System(NamedTuple):
    """All that a config describes, built."""

    model: Any
    steps: Compiled
    fresh: TrainState
    batches: Callable[[int], dict]
    key: jax.Array


class Outcome(NamedTuple):
    """How a training ended: the last state, what evaluation decided, whether by a signal."""

    state: TrainState
    control: Control
    stopped: bool


def assemble(config: ConfigDict, data: Any, params: Any = None, feed: Feed = WINDOWS) -> System:
    """Build model, objective, optimiser, steps and the first state of a training config.

    data: the curves to train on, of the kind that `feed` makes batches of
    params: what training starts from, instead of `config.init` or the seed.
    """
    model = build(config.model)
    objective = build(config.objective, apply=_trainable(model.apply, config.optimizer.rules))
    optimizer = optim.adam(**_optimizer_arguments(config))
    if config.get("plateau"):
        optimizer = optax.chain(optimizer, optim.scale_by_evaluation())
    steps = compile_steps(objective, optimizer, config.batch_size, config.mode, config.micro_batch)
    batches = feed.train(config, data)
    example = jax.tree.map(lambda x: x[:1], batches(0))
    params = initial_params(config, model, example, params)
    return System(model, steps, init_state(params, optimizer), batches, jax.random.key(config.seed))


def _trainable(apply: Callable, rules: optim.Rules) -> Callable:
    """Return `apply` without gradients for the parameters that the rules freeze."""

    def run(variables: Any, *inputs: Any, **options: Any) -> Any:
        params = optim.stop_frozen(variables["params"], rules)
        return apply({"params": params}, *inputs, **options)

    return run


def _optimizer_arguments(config: ConfigDict) -> dict[str, Any]:
    arguments = config.optimizer.to_dict()
    return {**arguments, "schedule": build(arguments["schedule"])}


def train(
    config: ConfigDict,
    data: Any,
    valid: Any,
    workdir: Path,
    params: Any = None,
    feed: Feed = WINDOWS,
) -> Outcome:
    """Train to `config.steps`, from where the folder's last checkpoint stands.

    data, valid: the curves to train on and to evaluate on, of the kind that `feed` makes batches of
    params: see `assemble`
    Every number is a function of the config: an interrupted run that is started again ends in
    the same parameters, optimiser state and metrics, to the last bit.
    Raises UserError where the loss is no longer finite; the last good step is then on disk.
    """
    system = assemble(config, data, params, feed)
    state, control = checkpoint.resume(_last(workdir), system.fresh)
    start = int(state.step)
    state = system.steps.place_state(state)
    batches = train_iterator(system.batches, start, config.steps, config.data.workers)
    with stop_on_signal() as stop, closing(Summary(workdir, start, config.steps)) as summary:
        log = Log(summary, config, _last(workdir))
        for step in range(start, config.steps + 1):
            final = step == config.steps
            if (final or (step and step % config.eval_every == 0)) and step != control.last_step:
                log.check()
                metrics = evaluate(system, state, feed.valid(config, valid))
                require_finite("validation loss", metrics["loss"], step, _last(workdir))
                summary.write(step, "valid", metrics)
                control = decide(control, metrics, step, config)
                if config.get("plateau"):
                    opt_state = optim.with_scale(state.opt_state, control.scale)
                    state = state.replace(opt_state=opt_state)
                if selected_step(control, config) == step:
                    checkpoint.save(_best(workdir), system.steps.fetch(state), control)
            done = final or exhausted(control, config.patience)
            if done or stop.is_set() or control.last_step == step or log.save_is_due():
                log.check()
                summary.sync()
                checkpoint.save(_last(workdir), system.steps.fetch(state), control)
                log.saved()
            if done or stop.is_set():
                break
            batch = system.steps.place_batch(next(batches))
            state, metrics = system.steps.train(state, batch, system.key)
            log.step(step + 1, metrics)
    return Outcome(system.steps.fetch(state), control, not done)


def decide(
    control: Control, metrics: Mapping[str, float], step: int, config: ConfigDict
) -> Control:
    """Return what an evaluation decides: best and patience by `monitor`; and if the config says

    select: a metric whose lowest value selects the step to use, instead of `monitor`
    plateau: {factor, patience, after}: of the learning rate, by `monitor`, from step `after` on
    """
    value = metrics[config.monitor]
    control = observe(control, value, step, config.get("least", 0.0))
    if config.get("select"):
        control = choose(control, metrics[config.select], step)
    rule = config.get("plateau")
    if rule and step > rule.after:
        control = plateau(control, value, rule.factor, rule.patience)
    return control


def selected_step(control: Control, config: ConfigDict) -> int:
    """Return the step to use, -1 before the first evaluation."""
    return control.chosen_step if config.get("select") else control.best_step


def _last(workdir: Path) -> Path:
    return workdir / "checkpoints" / "last"


def _best(workdir: Path) -> Path:
    return workdir / "checkpoints" / "best"


class Log:
    """The metrics that are still on the device, and the clock of the checkpoints."""

    def __init__(self, summary: Summary, config: ConfigDict, last: Path):
        self._summary, self._config, self._last = summary, config, last
        self._pending: list[tuple[int, Any]] = []
        self._logged_at = time.monotonic()
        self.saved()

    def saved(self) -> None:
        """Start the clock of the next checkpoint."""
        self._saved_at = time.monotonic()

    def save_is_due(self) -> bool:
        """Say whether the last checkpoint is `config.checkpoint_seconds` old."""
        return time.monotonic() - self._saved_at >= self._config.checkpoint_seconds

    def step(self, step: int, metrics: Any) -> None:
        """Take the metrics of a step; write them where it is the turn."""
        self._pending.append((step, metrics))
        self._summary.advance()
        if step % self._config.log_every:
            return
        self._summary.write(step, "train", self.check())
        now = time.monotonic()
        rows = self._config.log_every * self._config.batch_size
        self._summary.rate(step, rows / (now - self._logged_at))
        self._logged_at = now

    def check(self) -> dict[str, float]:
        """Return the newest metrics; raise UserError if a step since the last check went wrong."""
        values: dict[str, float] = {}
        for step, metrics in self._pending:
            values = to_floats(metrics)
            for name in ("loss", "gradient_norm"):
                require_finite(name, values[name], step, self._last)
        self._pending.clear()
        return values


def require_finite(name: str, value: float, step: int, last: Path) -> None:
    """Raise UserError, with the last good step, where a value at `step` is not finite."""
    if math.isfinite(value):
        return
    good = checkpoint.latest_step(last)
    kept = (
        "no step was saved before" if good is None else f"the last good step, {good}, is in {last}"
    )
    raise UserError(
        f"{name} is not finite at step {step}; {kept}: lower config.optimizer.schedule.rate "
        "or look at the data"
    )


def evaluate(system: System, state: Any, batches: Iterable[dict]) -> dict[str, float]:
    """Return the metrics over batches; the probes of a row are always the same."""
    key = jax.random.fold_in(system.key, EVAL_STREAM)
    sums = None
    for batch in batches:
        metrics = system.steps.evaluate(state.params, system.steps.place_batch(batch), key)
        sums = metrics if sums is None else jax.tree.map(jnp.add, sums, metrics)
    return to_floats(sums)


def to_floats(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the value of each metric as a float (under pmap every device holds the same)."""
    return {name: float(np.ravel(np.asarray(mean.value))[0]) for name, mean in metrics.items()}


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Set an event on SIGTERM or Ctrl-C, so that the loop can save and end.

    Outside the main thread, where Python allows no handlers, the event is never set.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    kinds = (signal.SIGTERM, signal.SIGINT)
    before = {kind: signal.signal(kind, lambda *_: stop.set()) for kind in kinds}
    try:
        yield stop
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
