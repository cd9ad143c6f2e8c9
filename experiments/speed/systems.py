"""The three systems as cases: what is timed, on how many objects, and the plain version beside."""

import importlib.util
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import plain
from measure import compiled_facts, matmul_flops
from ml_collections import ConfigDict

from astro_jax.data.curves import Curves, from_arrays
from astro_jax.data.multimodal_batches import OBJECTS, object_batches
from astro_jax.data.pipeline import WINDOWS, Feed, train_iterator
from astro_jax.data.simulate import simulate_survey
from astro_jax.data.table import write_table
from astro_jax.data.transient_batches import transient_batches
from astro_jax.data.windows import consecutive_windows, gather_windows
from astro_jax.embed import embed, embedding_table, write_parquet
from astro_jax.infer import as_curves, encode, mean_vectors, tidy
from astro_jax.multimodal_infer import encode_all
from astro_jax.multimodal_source import load_parts, rows_facts
from astro_jax.multimodal_task import resolve_pieces, resolve_steps
from astro_jax.nn.informer import sampled_keys
from astro_jax.objectives.reconstruction import reconstruction
from astro_jax.parallel import on_cpu
from astro_jax.spec import build
from astro_jax.supervised import resolve_config
from astro_jax.train import System, assemble, placed_batches
from astro_jax.transient_prediction import network_outputs
from astro_jax.transient_task import FEED, transient_task
from astro_jax.weights import Run

CONFIGS = Path(__file__).parents[2] / "configs"


class Phase(NamedTuple):
    """A function to time, and how many objects it handles in one call."""

    function: Callable[[], Any]
    objects: int


class Case(NamedTuple):
    """A system at one batch size.

    forward_flops: of the matrix products of one object in the plain network; a training step is
        three times that (forward, and the gradients of inputs and of kernels)
    train, encode: the phases, "plain ..." being the reference; facts: of the compiled step
    """

    name: str
    unit: str
    rows: int
    forward_flops: float
    train: dict[str, Phase]
    encode: dict[str, Phase]
    facts: dict[str, Any]


def config_of(name: str, **sizes: Any) -> ConfigDict:
    """Return the config "file:variant", with the sizes of its model changed where given."""
    stem, _, variant = name.partition(":")
    found = importlib.util.spec_from_file_location(stem, CONFIGS / f"{stem}.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    config = module.get_config(variant) if variant else module.get_config()
    config.model.update(sizes)
    return config


def training_phases(system: System, config: ConfigDict, loops: int) -> dict[str, Phase]:
    """Return the phases of training: input, transfer, step, and the loop of all of them."""
    rows = config.batch_size
    numbers = iter(range(10**9))
    host = system.batches(0)
    batch = system.steps.place_batch(host)
    held = {name: _copy(system.steps.place_state(system.fresh)) for name in ("step", "loop")}

    def step() -> Any:
        held["step"], metrics = system.steps.train(held["step"], batch, system.key)
        return metrics

    def loop() -> Any:
        for fed in islice(train_iterator(system.batches, 0, 10**6), loops):
            placed = system.steps.place_batch(fed)
            held["loop"], metrics = system.steps.train(held["loop"], placed, system.key)
        return metrics

    many = max(1, 1024 // rows)
    return {
        "input": Phase(lambda: [system.batches(next(numbers)) for _ in range(many)], many * rows),
        "transfer": Phase(lambda: system.steps.place_batch(host), rows),
        "step": Phase(step, rows),
        "loop": Phase(loop, loops * rows),
    }


def plain_phases(
    system: System, loss: Callable, sample: Callable[[int], Any], size: int, rows: int
) -> dict[str, Phase]:
    """Return the phases of the plain version: samples one by one, the step in one piece."""
    batch = jax.device_put(system.batches(0))
    samples, numbers = plain.sample_by_sample(sample, size, rows), iter(range(10**9))
    update = plain.plain_step(loss)
    held = [_copy(system.fresh.params), jax.tree.map(jnp.zeros_like, system.fresh.params)]
    held[1] = plain.optax.adam(1e-3).init(held[0])

    def step() -> Any:
        held[0], held[1], value = update(*held, batch, system.key)
        return value

    return {
        "plain input": Phase(lambda: samples[next(numbers)], rows),
        "plain step": Phase(step, rows),
    }


def _copy(tree: Any) -> Any:
    return jax.tree.map(lambda x: jnp.array(x, copy=True), tree)


def step_facts(system: System) -> dict[str, Any]:
    """Return seconds to compile and memory of the step, and the number of parameters."""
    arguments = system.fresh, system.batches(0), system.key
    sizes = [np.size(leaf) for leaf in jax.tree.leaves(system.fresh.params)]
    return compiled_facts(system.steps.train, *arguments) | {"parameters": int(sum(sizes))}


# ASTROMER


def resident_phase(config: ConfigDict, data: Any, feed: Feed, at_once: int) -> dict[str, Phase]:
    """Return the phase of steps on data that live on the device, `at_once` in one call."""
    config = ConfigDict(config)
    config.update({"resident": "yes", "steps_at_once": at_once, "eval_every": at_once})
    config.update({"log_every": at_once, "steps": 1000 * at_once})
    system = assemble(config, data, feed=feed)
    batches = placed_batches(system, config, 0)
    held = [_copy(system.steps.place_state(system.fresh))]

    def steps() -> Any:
        held[0], metrics = system.steps.train(held[0], next(batches), system.key)
        return metrics

    return {"steps, data on the device": Phase(steps, at_once * config.batch_size)}


def astromer(rows: int, loops: int, windows: int, dtype: str, attention: str, **sizes: Any) -> Case:
    """Return the case of the paper's network; encodes curves of 200 points, and of mixed length."""
    config = config_of("pretrain_macho:paper", **sizes)
    config.update({"batch_size": rows, "dtype": dtype, "attention": attention})
    curves = simulate_survey(max(rows, 200) // 2, 0)  # two bands a star
    system = assemble(config, curves)
    objective = reconstruction(lambda v, b, train: plain_astromer(v, b, config.model.base))

    def loss(params: Any, batch: Any, key: Any) -> Any:
        mean = objective.metrics(params, batch, key, True)["loss"]
        return objective.link(mean.total, mean.weight)

    photometry = jax.tree.map(lambda x: x[:1], system.batches(0)["photometry"])
    flops = matmul_flops(plain.astromer, system.fresh.params, photometry)
    sample = plain.window_sample(curves, config.window)
    train = training_phases(system, config, loops)
    train |= resident_phase(config, curves, WINDOWS, loops)
    train |= plain_phases(system, loss, sample, len(curves), rows)
    run = Run(config, system.model, system.fresh.params, 0)
    encoding = curve_phases(run, full_curves(curves, config.window, windows), "")
    mixed = curves.take(np.arange(min(len(curves), max(windows // 2, 2))))
    encoding["API, mixed lengths"] = Phase(lambda: encode(run, mixed), len(mixed))
    return Case("ASTROMER", "windows", rows, flops, train, encoding, step_facts(system))


def plain_astromer(variables: Mapping, batch: Mapping, base: float) -> dict[str, Any]:
    """Call `plain.astromer` as an objective calls a model."""
    return plain.astromer(variables["params"], batch["photometry"], base)


def full_curves(curves: Curves, window: int, count: int) -> Curves:
    """Return `count` curves of exactly one window each."""
    long = np.flatnonzero(curves.lengths >= window)
    rows = [curves.curve(k)[:window] for k in np.resize(long, count)]
    return from_arrays(rows)


def curve_phases(run: Run, curves: Curves, prefix: str) -> dict[str, Phase]:
    """Return the phases of encoding light curves: read, input, step, write, and API and job."""
    folder = Path(tempfile.mkdtemp(prefix="astro_jax_speed_"))
    write_table(curves, str(folder / "curves.parquet"))
    cut = consecutive_windows(curves.lengths, run.config.window)
    photometry = gather_windows(curves, cut, run.config.window)
    rows = 16 if on_cpu() else 1024
    part = jax.device_put({k: v[:rows] for k, v in photometry.items()})
    apply = jax.jit(lambda p, x: run.model.apply({"params": p}, {"photometry": x})["embedding"])
    simple = jax.jit(lambda p, x: plain.astromer(p, x, run.config.model.base)["embedding"])
    params = jax.device_put(run.params)
    vectors = mean_vectors(run, curves)
    told = ConfigDict({"batch_size": 0, "pooling": "mean"})
    count = len(cut.curve)

    def write() -> int:
        pieces = iter([embedding_table(curves, vectors, "mean")])
        return write_parquet(pieces, folder / "vectors.parquet")

    def job() -> int:
        read = as_curves(str(folder / "curves.parquet"))
        return write_parquet(embed(run, read, told), folder / "job.parquet")

    return {
        "read": Phase(lambda: as_curves(str(folder / "curves.parquet")).time, count),
        "input": Phase(lambda: gather_windows(tidy(curves)[0], cut, run.config.window), count),
        "transfer": Phase(lambda: jax.device_put(photometry), count),
        "step": Phase(lambda: apply(params, part), rows),
        "write": Phase(write, count),
        "API": Phase(lambda: encode(run, curves), count),
        "API, one vector a curve": Phase(lambda: mean_vectors(run, curves), count),
        "API, read and write": Phase(job, count),
        "plain step": Phase(lambda: np.asarray(simple(run.params, photometry)), count),
    }


# AstroM3


def key_draws(length: int, tower: ConfigDict, key: Any) -> Any:
    """Return the keys that each block of the released tower samples, [blocks, length, u]."""
    count = sampled_keys(length, tower.get("factor", 1))
    return jax.random.randint(key, (tower.blocks, length, count), 0, length)


def astrom3(rows: int, loops: int, dtype: str, **sizes: Any) -> Case:
    """Return the case of the released towers and loss, `rows` objects of three modalities."""
    config = config_of("pretrain_astrom3:official")
    config.model.towers.photometry.update(sizes)
    config.batch_size, config.data.simulate.stars = rows, int(rows * 1.5) + 20
    config.dtype = dtype
    parts = load_parts(config)
    config = resolve_pieces(resolve_steps(config, len(parts.train)))
    config.rows = ConfigDict(rows_facts(config))
    system = assemble(config, parts.train, feed=OBJECTS)
    tower = config.model.towers.photometry
    draws = partial(key_draws, config.rows.length, tower)

    def loss(params: Any, batch: Any, key: Any) -> Any:
        vectors = plain.astrom3(params, batch, draws(key), key, tower.dropout)
        return plain.contrastive_loss(params, vectors)

    example = jax.tree.map(lambda x: x[:1], system.batches(0))
    one = lambda p, b, i: plain.astrom3(p, b, i)  # noqa: E731
    flops = matmul_flops(one, system.fresh.params, example, draws(jax.random.key(0)))
    batches = system.batches

    def sample(k: int) -> dict:
        return jax.tree.map(lambda x: x[0], batches._replace(batch_size=1)(k))

    train = training_phases(system, config, loops)
    train |= plain_phases(system, loss, sample, len(parts.train), rows)
    config.modalities = sorted(parts.train.parts)
    run = Run(config, system.model, system.fresh.params, 0)
    objects = parts.train.take(np.arange(rows))
    simple = jax.jit(plain.astrom3)
    host = next(object_batches(objects, rows, config.rows.length))
    index = draws(jax.random.key(0))
    encoding = {
        "input": Phase(lambda: next(object_batches(objects, rows, config.rows.length)), rows),
        "API": Phase(lambda: encode_all(run, objects), rows),
        "plain step": Phase(lambda: jax.device_get(simple(run.params, host, index)), rows),
    }
    return Case("AstroM3", "objects", rows, flops, train, encoding, step_facts(system))


# Transients


def transient(rows: int, loops: int, length: int, **sizes: Any) -> Case:
    """Return the case of the released network of transients, on curves of at most `length`."""
    config = config_of("train_ztf:paper", **sizes)
    config.data.simulate.transients = 2 * rows + 200
    config.batch_size, config.window = rows, length
    task = transient_task(config)
    config = resolve_config(config, task.facts)
    system = assemble(config, task.train, feed=FEED)
    objective = build(config.objective, apply=plain.transient)

    def loss(params: Any, batch: Any, key: Any) -> Any:
        mean = objective.metrics(params, batch, key, True)["loss"]
        return objective.link(mean.total, mean.weight)

    example = jax.tree.map(lambda x: x[:1], system.batches(0))
    flops = matmul_flops(plain.transient, {"params": system.fresh.params}, example)
    batches = system.batches

    def sample(k: int) -> dict:
        return jax.tree.map(lambda x: x[0], batches._replace(batch_size=1)(k))

    train = training_phases(system, config, loops)
    train |= plain_phases(system, loss, sample, len(task.train), rows)
    run = Run(config, system.model, system.fresh.params, 0)
    shown = task.train.take(np.arange(min(rows, len(task.train))))
    host = next(transient_batches(shown, len(shown), length))
    simple = jax.jit(plain.transient)
    encoding = {
        "input": Phase(lambda: next(transient_batches(shown, len(shown), length)), len(shown)),
        "API": Phase(lambda: network_outputs(run, shown), len(shown)),
        "plain step": Phase(
            lambda: jax.device_get(simple({"params": run.params}, host)), len(shown)
        ),
    }
    return Case("transients", "objects", rows, flops, train, encoding, step_facts(system))
