"""Which tensor of a released AstroM3 is which of our parameters.

official name                                             ours
photometry_encoder.enc_embedding.value_embedding.*        towers_photometry/embedding/conv
photometry_encoder.encoder.attn_layers.I.attention.*      towers_photometry/block_I/attention
....attn_layers.I.{conv1,conv2,norm1,norm2}               .../block_I/{dense_1,dense_2,norm_*}
photometry_encoder.encoder.norm                           towers_photometry/norm
spectra_encoder.layers.{0,3,6,9}                          towers_spectrum/conv_{0,1,2,3}
metadata_encoder.model.{0,3}                              towers_metadata/dense_{1,2}
{photometry,spectra,metadata}_proj, logit_scale_{ps,sm,mp}, fc

"""

from typing import Any

import numpy as np

from astro_jax.errors import UserError

PREFIXES = {
    "photometry": "photometry_encoder.",
    "spectrum": "spectra_encoder.",
    "metadata": "metadata_encoder.",
}
PROJECTIONS = {
    "photometry": "photometry_proj",
    "spectrum": "spectra_proj",
    "metadata": "metadata_proj",
}
SCALES = {
    "logit_scale_ps": "logit_scale_photometry_spectrum",
    "logit_scale_sm": "logit_scale_metadata_spectrum",
    "logit_scale_mp": "logit_scale_metadata_photometry",
}
POSITIONS = "enc_embedding.position_embedding.pe"
TABLE_ROWS = 5000  # of the stored table of positions
HEADS = 4  # of all released models; no shape tells it
CONVOLUTIONS = {"0": "conv_0", "3": "conv_1", "6": "conv_2", "9": "conv_3"}
QKV = ("query", "key", "value")

Tensors = dict[str, np.ndarray]
# official name -> (our path, what is done to the array: see `astrom3.convert`)
Table = dict[str, tuple[str, str | int]]


def is_astrom3(names: Any) -> bool:
    """Tell the tensor names of a released model, of all modalities or of one."""
    return bool(set(names) & {*SCALES, *(bare for _, bare in MARKS)}) or any(
        name.startswith(tuple(PREFIXES.values())) for name in names
    )


# One name by which the bare file of a modality is known.
MARKS = (
    ("photometry", "enc_embedding.value_embedding.tokenConv.weight"),
    ("spectrum", "layers.0.weight"),
    ("metadata", "model.0.weight"),
)


def bare_names(tensors: Tensors, where: str) -> tuple[str, Tensors]:
    """Return which modality alone a file holds, "" for all, and its tensors without the prefix."""
    if set(SCALES) & set(tensors):
        return "", tensors
    for modality, mark in MARKS:
        prefix = PREFIXES[modality]
        if mark in tensors or prefix + mark in tensors:
            return modality, {name.removeprefix(prefix): a for name, a in tensors.items()}
    there = ", ".join(sorted(tensors))[:300]
    raise UserError(f"{where} holds no tower of AstroM3: tensors are {there}")


def layout(tensors: Tensors, modality: str) -> Table:
    """Return where each tensor of a model goes; the number of layers is that of the tensors."""
    if modality:
        table = {n: (f"encoder/{p}", how) for n, (p, how) in tower(tensors, modality, "").items()}
        return {**table, **_dense("fc", "head")} if "fc.weight" in tensors else table
    root = "encoder/" if "fc.weight" in tensors else ""
    table: Table = {name: (root + ours, "same") for name, ours in SCALES.items()}
    for name, prefix in PREFIXES.items():
        parts = tower(tensors, name, prefix)
        table |= {n: (f"{root}towers_{name}/{p}", how) for n, (p, how) in parts.items()}
        table |= _dense(PROJECTIONS[name], f"{root}projections_{name}")
    return {**table, **_dense("fc", "head/dense")} if root else table


def tower(tensors: Tensors, modality: str, prefix: str) -> Table:
    """Return where the tensors of one tower go, below the tower's path."""
    if modality == "spectrum":
        return {k: v for n, ours in CONVOLUTIONS.items()
                for k, v in _dense(f"{prefix}layers.{n}", ours, "conv").items()}  # fmt: skip
    if modality == "metadata":
        return _dense(f"{prefix}model.0", "dense_1") | _dense(f"{prefix}model.3", "dense_2")
    table: Table = {
        f"{prefix}enc_embedding.value_embedding.tokenConv.weight": ("embedding/conv/kernel", "conv")
    }
    table |= _norm(f"{prefix}encoder.norm", "norm")
    start = f"{prefix}encoder.attn_layers."
    blocks = {n.removeprefix(start).split(".")[0] for n in tensors if n.startswith(start)}
    for i in sorted(blocks):
        theirs, ours = f"{start}{i}.", f"block_{i}/"
        for k, part in enumerate(QKV):
            for kind, leaf in (("weight", "kernel"), ("bias", "bias")):
                table[f"{theirs}attention.{part}_projection.{kind}"] = (
                    f"{ours}attention/qkv/{leaf}", k)  # fmt: skip
        table |= _dense(f"{theirs}attention.out_projection", f"{ours}attention/out")
        table |= _dense(f"{theirs}conv1", f"{ours}dense_1", "point")
        table |= _dense(f"{theirs}conv2", f"{ours}dense_2", "point")
        table |= _norm(f"{theirs}norm1", f"{ours}norm_1") | _norm(f"{theirs}norm2", f"{ours}norm_2")
    return table


def _dense(theirs: str, ours: str, how: str = "dense") -> Table:
    return {f"{theirs}.weight": (f"{ours}/kernel", how), f"{theirs}.bias": (f"{ours}/bias", "same")}


def _norm(theirs: str, ours: str) -> Table:
    table = _dense(theirs, ours, "same")
    return {**table, f"{theirs}.weight": (f"{ours}/scale", "same")}
