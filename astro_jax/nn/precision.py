"""The type that a network computes in, changed without a change of its parameters."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn


def with_dtype(module: Any, dtype: str) -> Any:
    """Return a module with `dtype` set in every part of it that has such a field.

    Parameters stay float32, so that those of one type serve the other; other values are returned as
    they are.
    """
    if isinstance(module, Mapping):
        return {name: with_dtype(part, dtype) for name, part in module.items()}
    if not isinstance(module, nn.Module):
        return module
    fields = {f.name for f in dataclasses.fields(module) if f.init} - {"parent", "name", "dtype"}
    parts = {name: with_dtype(getattr(module, name), dtype) for name in fields}
    return module.clone(**parts, **({"dtype": dtype} if hasattr(module, "dtype") else {}))
