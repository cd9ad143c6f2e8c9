"""Specs: a target and its arguments as plain data, so that every experiment is a config."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from astro_jax.errors import UserError, suggest

# Where all that a loaded config may name is defined: modules, losses, schedules, and no I/O.
HARMLESS = r"astro_jax\.(models|nn|objectives|optim|data\.inputs)(\.\w+)*"


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


def check_loaded(config: Any, where: Any, trust: Sequence[str] = ()) -> None:
    """Raise UserError where a config from a file names code that loading it must not run.

    Its targets must be defined in those parts of astro_jax that read and write nothing, or in one
    of the packages `trust`.
    where: what the config was read from, for the message
    """
    for target in targets(config):
        module, _, name = target.partition(":")
        if module.partition(".")[0] in trust:
            continue
        if not re.fullmatch(HARMLESS, module):
            raise UserError(
                f"{where}: its config names '{target}', code that is not run for a file; if you "
                f"trust it, load with trust=('{module.partition('.')[0]}',)"
            )
        if getattr(resolve(target), "__module__", None) != module:
            raise UserError(f"{where}: its config names '{target}', which is not defined there")


def targets(value: Any) -> Iterator[str]:
    """Yield all that a config names as "module:name" to be called, at any depth."""
    if isinstance(value, Mapping | ConfigDict):
        for name, item in value.items():
            if name in ("target", "inputs", "weights"):
                yield from _texts(item)
            else:
                yield from targets(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from targets(item)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from [value] if ":" in value else []
    elif isinstance(value, Mapping | ConfigDict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
