"""Specs: a target and its arguments as plain data, so that every experiment is a config."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from astro_jax.errors import UserError, suggest


def spec(target: Callable | str, **arguments: Any) -> ConfigDict:
    """Describe the call `target(**arguments)` as a ConfigDict that JSON can hold.

    A target given as a callable is checked at once: an argument that its signature lacks is an
    error here, where the config is written. "module:name" is checked when it is built.
    """
    if callable(target):
        _check(target, arguments)
        target = f"{target.__module__}:{target.__qualname__}"
    return ConfigDict({"target": target, **arguments})


def resolve(target: str) -> Any:
    """Import "module:name"."""
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"no target '{target}' ({error}); write it as 'module:name'") from error


def build(described: Mapping[str, Any], **more: Any) -> Any:
    """Call the target of a spec; specs among its arguments are built first."""
    arguments = {name: _value(value) for name, value in described.items() if name != "target"}
    target = resolve(described["target"])
    _check(target, arguments)
    return target(**arguments, **more)


def _value(value: Any) -> Any:
    if isinstance(value, Mapping | ConfigDict):
        if "target" in value:
            return build(value)
        return {name: _value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):  # JSON knows no tuples, and a Linen module must hash
        return tuple(_value(item) for item in value)
    return value


def _check(target: Callable, arguments: Mapping[str, Any]) -> None:
    known = inspect.signature(target).parameters
    if any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return
    for name in arguments:
        if name not in known:
            raise UserError(f"{target.__qualname__} takes no '{name}'{suggest(name, known)}")
