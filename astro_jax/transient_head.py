"""The head of a transient classifier that starts from another one: which outputs stay.

A target class keeps the output of the same name (see `bare`), and those of its sub-types that are
no classes of the target themselves: their probabilities are summed, so that nothing of what the
base knows is lost. Where the base lacks a class, the head starts anew.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from astro_jax import checkpoint
from astro_jax.data.simulate.transient_classes import PARENT, SAME_CLASS
from astro_jax.errors import UserError, suggest

HEADS = ("", "keep", "replace")


def kept_outputs(base: Any, classes: Sequence[str], head: str = "") -> list[tuple[int, int]] | None:
    """Return (output of the base, class of the target) of all outputs that stay, by class.

    base: the run to start from; classes: of the target
    head: "keep", "replace", or "": keep where every class of the target is known to the base
    None where the head is replaced. Raises UserError where it cannot be kept as asked.
    """
    if head not in HEADS:
        raise UserError(f"config.head='{head}' is unknown{suggest(head, HEADS[1:])}")
    if head == "replace":
        return None
    known = list(base.config.get("classes", []))
    leaves = list(base.model.leaves) or list(range(len(known)))
    place = {bare(name): code for code, name in enumerate(classes)}
    pairs = []
    for output, leaf in enumerate(leaves):
        name = bare(known[leaf]) if leaf < len(known) else ""
        code = place.get(name, place.get(part_of(name)))
        if code is not None:
            pairs.append((output, code))
    kept = {code for _, code in pairs}
    lacking = [name for code, name in enumerate(classes) if code not in kept]
    if lacking and head == "keep":
        raise UserError(
            f"config.head=keep: the classes of config.init ({', '.join(known) or 'not known'}) "
            f"have none for {', '.join(lacking)}; give --config.head=replace"
        )
    return None if lacking else sorted(pairs, key=lambda pair: (pair[1], pair[0]))


def bare(name: str) -> str:
    """Return the name of a class without blanks and in our spelling.

    "SN Ia" of catalogues is "SNIa", "SNIbc" of PLAsTiCC "SNIb/c".
    """
    joined = "".join(name.split())
    return SAME_CLASS.get(joined, joined)


def part_of(name: str) -> str:
    """Return the type that a class is part of, `bare`; its own name where it is part of none."""
    return PARENT.get(bare(name), bare(name))


def leaves_of(kept: Sequence[tuple[int, int]] | None, classes: int) -> list[int]:
    """Return the `leaves` of the target's network: the class of each output, [] = one each."""
    leaves = [] if kept is None else [code for _, code in kept]
    return [] if leaves == list(range(classes)) else leaves


def warm_start(config: ConfigDict, params: Any, base: Any) -> Any:
    """Return the parameters of `base`, its outputs chosen for `config.classes`.

    params: of the target's network as drawn, whose head is taken where it starts anew
    Raises UserError where another layer does not fit.
    """
    kept = kept_outputs(base, list(config.classes), config.get("head", ""))
    if kept is None:
        logging.warning("the head of %s is for other classes: it starts anew", config.init)
        output = params["output"]
    else:
        columns = np.array([place for place, _ in kept])
        output = {name: np.asarray(x)[..., columns] for name, x in base.params["output"].items()}
    return checkpoint.warm_start(params, {**base.params, "output": output}, config.init)
