"""Nested mappings as flat ones, and back: configs ("a.b") and parameters ("a/b")."""

from collections.abc import Mapping
from typing import Any

from astro_jax.errors import UserError


def flatten(tree: Mapping[str, Any], separator: str = "/") -> dict[str, Any]:
    """Return {"a": {"b": x}} as {"a/b": x}; an empty mapping inside leaves no trace."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            inner = flatten(value, separator)
            flat |= {f"{name}{separator}{path}": leaf for path, leaf in inner.items()}
        else:
            flat[name] = value
    return flat


def nest(flat: Mapping[str, Any], separator: str = "/") -> dict[str, Any]:
    """Return {"a/b": x} as {"a": {"b": x}}.

    Raises UserError where a name is both a value and the start of others: a broken file.
    """
    tree: dict[str, Any] = {}
    for path, leaf in flat.items():
        *parents, last = path.split(separator)
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {}) if isinstance(node, dict) else node
        if not isinstance(node, dict) or last in node:
            raise UserError(f"'{path}' stands beside or below another value of its name")
        node[last] = leaf
    return tree
