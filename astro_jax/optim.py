"""Schedules and optimisers, with rules that freeze or slow parameters by their path."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import optax

from astro_jax.errors import UserError

Rules = Mapping[str, float | None] | Sequence[tuple[str, float | None]] | None
FROZEN = "frozen"


def constant(rate: float) -> optax.Schedule:
    """Return the same learning rate at every step."""
    return optax.constant_schedule(rate)


def noam(width: int = 256, warmup: int = 4000) -> optax.Schedule:
    """Return width^-0.5 min(step^-0.5, step warmup^-1.5), step from 1 (ASTROMER, tag v1.0)."""

    def rate(count):
        step = count + 1.0
        return width**-0.5 * jax.numpy.minimum(step**-0.5, step * warmup**-1.5)

    return rate


def warmup_cosine(rate: float, steps: int, warmup: int) -> optax.Schedule:
    """Return a linear rise to `rate` over `warmup` steps, then half a cosine down to 0."""
    warmup = min(warmup, max(steps // 2, 1))
    return optax.warmup_cosine_decay_schedule(0.0, rate, warmup, max(steps, warmup + 1))


def warmup_by_epoch(
    rate: float, every: int, epochs: int = 10, start: float = 1e-5
) -> optax.Schedule:
    """Return a rise from start * rate to `rate` in steps, one an epoch of `every` steps (AstroM3).

    Epoch e < `epochs` has rate * (start + (1 - start) e / epochs); later ones have `rate`.
    """

    def schedule(count):
        epoch = jax.numpy.minimum(count // max(every, 1), epochs)
        return rate * (start + (1 - start) * epoch / max(epochs, 1))

    return schedule


class Scale(NamedTuple):
    """A factor on the learning rate that evaluation sets, [] float32."""

    scale: jax.Array


def scale_by_evaluation() -> optax.GradientTransformation:
    """Return the transformation that multiplies updates by a `Scale`, 1 at first."""

    def update(updates: Any, state: Scale, params: Any = None) -> tuple[Any, Scale]:
        return jax.tree.map(lambda u: u * state.scale, updates), state

    return optax.GradientTransformation(lambda _: Scale(jax.numpy.ones(())), update)


def with_scale(opt_state: Any, scale: float) -> Any:
    """Return the state of an optimiser with every `Scale` in it set."""

    def set_one(leaf: Any) -> Any:
        return Scale(jax.numpy.full_like(leaf.scale, scale)) if isinstance(leaf, Scale) else leaf

    return jax.tree.map(set_one, opt_state, is_leaf=lambda x: isinstance(x, Scale))


def adam(
    schedule: optax.Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    clip: float = 0.0,
    rules: Rules = None,
    l2: float = 0.0,
) -> optax.GradientTransformation:
    """Return Adam, with decoupled weight decay and clipping of the global norm where positive.

    l2: coupled decay, `l2` times the parameter added to the clipped gradient before Adam sees it
        (the weight decay of PyTorch's Adam, on all parameters: AstroM3)
    rules: ordered pairs of a regular expression on a path like "block_0/attention/qkv/kernel" and
        a multiplier of the learning rate, or None = frozen (pairs, since a ConfigDict takes no
        key with a dot); the first that matches counts, none means 1.
        A rule that matches no parameter is an error that lists the paths.
    """
    rules = dict(rules or ())
    clipping = [optax.clip_by_global_norm(clip)] if clip > 0 else []
    clipping += [optax.add_decayed_weights(l2)] if l2 > 0 else []
    step = optax.adamw(schedule, b1, b2, eps, weight_decay=weight_decay)
    if not rules:
        return optax.chain(*clipping, step)
    parts = {
        _label(rate): optax.set_to_zero() if rate is None else optax.chain(step, optax.scale(rate))
        for rate in (*rules.values(), 1.0)
    }
    chosen = optax.partition(parts, lambda params: label_by_path(params, rules))
    return optax.chain(*clipping, chosen)


def stop_frozen(params: Any, rules: Rules) -> Any:
    """Return the parameters, without a gradient for those that the rules freeze.

    The compiler then leaves out the backward pass of a frozen encoder.
    """
    rules = dict(rules or ())
    if None not in rules.values():
        return params
    labels = label_by_path(params, rules)

    def stop(label: str, value: Any) -> Any:
        return jax.lax.stop_gradient(value) if label == FROZEN else value

    return jax.tree.map(stop, labels, params)


def path_name(path: tuple) -> str:
    """Return a tree path as "block_0/attention/qkv/kernel"."""
    return "/".join(str(getattr(part, "key", getattr(part, "name", part))) for part in path)


def label_by_path(params: Any, rules: Mapping[str, float | None]) -> Any:
    """Return the tree of multipliers, as text, that the rules give to each parameter."""
    paths = [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    for rule in rules:
        if not any(re.search(rule, path) for path in paths):
            raise UserError(f"no parameter matches '{rule}'; paths are {', '.join(paths)}")

    def label(path: tuple, _: Any) -> str:
        name = path_name(path)
        return _label(next((rate for rule, rate in rules.items() if re.search(rule, name)), 1.0))

    return jax.tree_util.tree_map_with_path(label, params)


def _label(rate: float | None) -> str:
    return FROZEN if rate is None else str(float(rate))  # 1 and 1.0 are one label
