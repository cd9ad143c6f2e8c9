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
from astro_jax.data.resident import Resident, fits
from astro_jax.errors import UserError
from astro_jax.multihost import agreed, end_of_training, shared_start
from astro_jax.nn.precision import as_configured
from astro_jax.parallel import Compiled, compile_steps, largest_divisor, on_cpu
from astro_jax.spec import build
from astro_jax.step import TrainState, init_state
from astro_jax.summary import Summary
from astro_jax.weights import initial_params
from astro_jax.workdir import require_room

MOST_AT_ONCE = 20  # steps: a dispatch is then far below a step, and a signal still ends soon
EVAL_STREAM = 2**31  # probes of evaluation are drawn as if at this step: never those of training


class System(NamedTuple):
    """All that a config describes, built.

    resident: the data on the device, None where batches come from the host; at_once: the steps
    that one call of `steps.train` takes
    """

    model: Any
    steps: Compiled
    fresh: TrainState
    batches: Callable[[int], dict]
    key: jax.Array
    resident: Resident | None = None
    at_once: int = 1


class Outcome(NamedTuple):
    """How a training ended: the last state, what evaluation decided, whether by a signal."""

    state: TrainState
    control: Control
    stopped: bool


def passes(steps: int, batch_size: int, size: int) -> float:
    """Return how often `steps` go over `size` objects; fewer than a batch are one pass a step."""
    return round(steps * min(batch_size, size) / size, 2)


def assemble(config: ConfigDict, data: Any, params: Any = None, feed: Feed = WINDOWS) -> System:
    """Build model, objective, optimiser, steps and the first state of a training config.

    data: the curves to train on, of the kind that `feed` makes batches of
    params: what training starts from, instead of `config.init` or the seed.
    """
    model = as_configured(build(config.model), config)
    objective = build(config.objective, apply=_trainable(model.apply, config.optimizer.rules))
    optimizer = optim.adam(**_optimizer_arguments(config))
    if config.get("plateau"):
        optimizer = optax.chain(optimizer, optim.scale_by_evaluation())
    resident = feed.resident(config, data) if is_resident(config, data, feed) else None
    at_once = steps_at_once(config) if resident else 1
    chosen = getattr(model, "rows_on_cpu", 0) if on_cpu() else 0  # 0: as `compile_steps` does
    layout = config.batch_size, config.mode, config.micro_batch or chosen
    draw = resident.draw if resident else None
    steps = compile_steps(objective, optimizer, *layout, draw, at_once)
    batches = feed.train(config, data)
    example = jax.tree.map(lambda x: x[:1], batches(0))
    params = initial_params(config, model, example, params)
    state, key = init_state(params, optimizer), jax.random.key(config.seed)
    return System(model, steps, state, batches, key, resident, at_once)


def is_resident(config: ConfigDict, data: Any, feed: Feed) -> bool:
    """Say whether the data are to live on the device, by `config.resident`.

    "auto": where it is no CPU and they take less than half of its memory.
    Raises UserError where they are asked to and cannot.
    """
    wanted = config.get("resident", "no")
    possible = feed.resident is not None and config.mode != "pmap"
    if wanted == "yes" and not possible:
        raise UserError(
            "config.resident=yes needs light curves of one band and mode jit or sharded; leave it "
            "at auto"
        )
    return wanted == "yes" or (wanted == "auto" and possible and not on_cpu() and fits(data))


def steps_at_once(config: ConfigDict) -> int:
    """Return `config.steps_at_once`; 0: the largest number up to 20 that meets all stops.

    Raises UserError where an evaluation, a log or the end would fall between two stops.
    """
    stops = math.gcd(config.log_every, config.eval_every, config.steps)
    asked = config.get("steps_at_once", 0)
    if asked and stops % asked:
        raise UserError(
            f"config.steps_at_once={asked} must divide config.log_every, config.eval_every and "
            f"config.steps: give a divisor of {stops}"
        )
    return asked or largest_divisor(stops, MOST_AT_ONCE)


def placed_batches(system: System, config: ConfigDict, start: int) -> Iterator[Any]:
    """Iterate over what `steps.train` takes from step `start` on, on the device."""
    if system.resident is None:
        fed = train_iterator(system.batches, start, config.steps, config.data.workers)
        return map(system.steps.place_batch, fed)
    data = system.steps.place_state(system.resident.arrays)  # a copy on every device
    steps = range(start, config.steps, system.at_once)
    return ({"data": data, "at": system.resident.cursor(step)} for step in steps)


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
    state, control = shared_start(*checkpoint.resume(_last(workdir), system.fresh))
    start = int(state.step)
    if start < config.steps:
        most = 2 * (checkpoint.KEPT + 1) * checkpoint.size_on_disk(state)  # last, best; one more
        require_room(workdir, most, "a run with its checkpoints")
    state = system.steps.place_state(state)
    batches = placed_batches(system, config, start)
    with stop_on_signal() as stop, closing(Summary(workdir, start, config.steps)) as summary:
        log = Log(summary, config, _last(workdir))
        for step in range(start, config.steps + 1, system.at_once):
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
            stopping = agreed(stop.is_set(), step, config.log_every)
            if done or stopping or control.last_step == step or log.save_is_due():
                log.check()
                summary.sync()
                checkpoint.save(_last(workdir), system.steps.fetch(state), control)
                log.saved()
            if done or stopping:
                break
            state, metrics = system.steps.train(state, next(batches), system.key)
            log.step(step + system.at_once, metrics, system.at_once)
    end_of_training(not done)
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
        self._pending: list[tuple[int, Any, int]] = []
        self._logged_at = time.monotonic()
        self.saved()

    def saved(self) -> None:
        """Start the clock of the next checkpoint."""
        self._saved_at = time.monotonic()

    def save_is_due(self) -> bool:
        """Say whether the last checkpoint is `config.checkpoint_seconds` old."""
        return time.monotonic() - self._saved_at >= self._config.checkpoint_seconds

    def step(self, step: int, metrics: Any, count: int = 1) -> None:
        """Take the metrics of the `count` steps up to `step`; write those of the last interval.

        What is read now was computed an interval ago: the device never waits for the host.
        """
        self._pending.append((step, metrics, count))
        self._summary.advance(count)
        if step % self._config.log_every:
            return
        self.check(step - self._config.log_every)
        now = time.monotonic()
        rows = self._config.log_every * self._config.batch_size
        self._summary.rate(step, rows / (now - self._logged_at))
        self._logged_at = now

    def check(self, until: float = math.inf) -> None:
        """Read the metrics up to a step, and write those of whose turn it is.

        Raises UserError if a step went wrong.
        """
        while self._pending and self._pending[0][0] <= until:
            last, metrics, count = self._pending.pop(0)
            for k in range(count):
                step, values = last - count + 1 + k, to_floats(metrics, k)
                for name in ("loss", "gradient_norm"):
                    require_finite(name, values[name], step, self._last)
                if step % self._config.log_every == 0:
                    self._summary.write(step, "train", values)


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


def to_floats(metrics: Mapping[str, Any], k: int = 0) -> dict[str, float]:
    """Return the k-th value of each metric as a float (under pmap every device holds the same)."""
    return {name: float(np.ravel(np.asarray(mean.value))[k]) for name, mean in metrics.items()}


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
