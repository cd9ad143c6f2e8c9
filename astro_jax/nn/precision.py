"""How a network computes, changed without a change of its parameters."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn


def with_settings(module: Any, **settings: Any) -> Any:
    """Return a module with settings (`dtype`, `attention`) in every part that has such a field.

    Only the computation changes. Parameters are float32 and have the same names and shapes under
    every setting, so those trained with one can be used with another. Mappings are searched for
    modules; any other value is returned unchanged.
    """
    if isinstance(module, Mapping):
        return {name: with_settings(part, **settings) for name, part in module.items()}
    if not isinstance(module, nn.Module):
        return module
    fields = {f.name for f in dataclasses.fields(module) if f.init} - {"parent", "name"}
    parts = {name: with_settings(getattr(module, name), **settings) for name in fields}
    return module.clone(**parts | {name: settings[name] for name in fields & set(settings)})


def as_configured(module: Any, config: Mapping[str, Any]) -> Any:
    """Return a module with the `dtype` and the `attention` of a config."""
    names = {"dtype": "float32", "attention": "einsum"}
    return with_settings(module, **{name: config.get(name, usual) for name, usual in names.items()})
