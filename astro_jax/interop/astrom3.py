"""Weights of AstroM3 (safetensors; hub organisation AstroMLCore), read and written without torch.

    official name                                             ours
    photometry_encoder.enc_embedding.value_embedding.*        towers_photometry/embedding/conv
    photometry_encoder.encoder.attn_layers.I.attention.*      towers_photometry/block_I/attention
    ....attn_layers.I.{conv1,conv2,norm1,norm2}               .../block_I/{dense_1,dense_2,norm_*}
    photometry_encoder.encoder.norm                           towers_photometry/norm
    spectra_encoder.layers.{0,3,6,9}                          towers_spectrum/conv_{0,1,2,3}
    metadata_encoder.model.{0,3}                              towers_metadata/dense_{1,2}
    {photometry,spectra,metadata}_proj, logit_scale_{ps,sm,mp}, fc

A classifier of one modality has its tower's names bare or with the prefix, and `fc`. Linear and
convolution kernels are (out, in[, size]) there and ([size,] in, out) here; query, key and value
are one kernel here; `fc` on all three vectors has them in alphabetical order here. The stored
table of positions is checked against ours and not kept.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from astro_jax.errors import UserError
from astro_jax.nn.informer import slot_encoding
from astro_jax.tree import flatten, nest
from astro_jax.workdir import read_json, write_bytes

# Of the published data set, alphabetical: the class numbers of the released classifiers.
CLASSES = ("DSCT", "EA", "EB", "EW", "HADS", "M", "ROT", "RRAB", "RRC", "SR")
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
# official name -> (our path, what is done to the array: see `convert`)
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


def read_tensors(path: Path) -> Tensors:
    """Return the tensors of a safetensors file, or of the `model.safetensors` in a folder."""
    path = path / "model.safetensors" if path.is_dir() else path
    try:
        with safe_open(path, "numpy") as handle:
            return {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read ({error})") from error


def load_astrom3(path: str | Path) -> tuple[dict[str, Any], Any]:
    """Return what a released file or folder describes (see `from_official`) and its parameters.

    A `config.json` beside the file gives heads and dropout.
    Raises UserError for any tensor that is missing, of another shape, not finite, or unknown.
    """
    path = Path(path)
    beside = (path if path.is_dir() else path.parent) / "config.json"
    config = read_json(beside) if beside.exists() else {}
    return from_official(read_tensors(path), config, str(path))


def from_official(
    tensors: Tensors, config: Mapping[str, Any], where: str = "the weights"
) -> tuple[dict[str, Any], Any]:
    """Return a description of a released model and its parameters in our layout.

    config: the constructor arguments that come with it, {} if unknown
    The description: `modality` ("" for all three), `classes` (0 without `fc`), `fusion` ("mean",
    "concat" or ""), and the fields of the towers by modality.
    """
    modality, tensors = bare_names(dict(tensors), where)
    table = layout(tensors, modality)
    _check_names(tensors, table, where)
    _check_positions(tensors, modality, where)
    flat: dict[str, Any] = {}
    for name, (path, how) in table.items():
        array = np.asarray(tensors[name], np.float32)
        if not np.isfinite(array).all():
            raise UserError(f"{where}: tensor '{name}' is not finite")
        if isinstance(how, int):
            flat.setdefault(path, [None] * 3)[how] = array
        else:
            flat[path] = convert(array, how)
    heads = int(config.get("p_n_heads", config.get("n_heads", HEADS)))
    merged = {p: merge_qkv(a, heads) if isinstance(a, list) else a for p, a in flat.items()}
    told = describe(merged, modality, heads, config)
    _swap_fusion(merged, told, to_official=False)
    return told, nest(merged)


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


def convert(array: np.ndarray, how: str) -> np.ndarray:
    """Turn an official array into ours: "dense" (out, in), "conv" (out, in, k), "point" k = 1."""
    if how == "conv":
        return np.ascontiguousarray(array.transpose(2, 1, 0))
    if how == "point":
        array = array[:, :, 0]
    return np.ascontiguousarray(array.T) if how in ("dense", "point") else array


def revert(array: np.ndarray, how: str) -> np.ndarray:
    """Undo `convert`."""
    if how == "conv":
        return np.ascontiguousarray(array.transpose(2, 1, 0))
    if how == "point":
        return np.ascontiguousarray(array.T)[:, :, None]
    return np.ascontiguousarray(array.T) if how == "dense" else array


def merge_qkv(parts: list[np.ndarray], heads: int) -> np.ndarray:
    """Return query, key and value kernels (out, in) as [D, 3, H, K], or biases as [3, H, K]."""
    width = parts[0].shape[-1]
    if parts[0].ndim == 1:
        return np.stack(parts).reshape(3, heads, width // heads)
    return np.stack([p.T for p in parts], axis=1).reshape(width, 3, heads, width // heads)


def split_qkv(array: np.ndarray, part: int) -> np.ndarray:
    """Undo `merge_qkv` for one of the three."""
    if array.ndim == 3:
        return array[part].ravel()
    return np.ascontiguousarray(array[:, part].reshape(len(array), -1).T)


def describe(
    flat: Mapping[str, np.ndarray], modality: str, heads: int, config: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is in `from_official`, from the shapes; dropouts from the config, else 0."""
    towers = {}
    for name, letter in (("photometry", "p"), ("spectrum", "s"), ("metadata", "m")):
        if modality not in ("", name):
            continue
        roots = ("encoder/",) if modality else (f"encoder/towers_{name}/", f"towers_{name}/")
        root = next(r for r in roots if any(k.startswith(r) for k in flat))
        part = {k.removeprefix(root): v.shape for k, v in flat.items() if k.startswith(root)}
        rate = config.get(f"{letter}_dropout", config.get("dropout", config.get("dropout_rate", 0)))
        towers[name] = {**FIELDS[name](part, heads), "dropout": float(rate)}
    told: dict[str, Any] = {"modality": modality, "towers": towers, "classes": 0, "fusion": ""}
    kernel = flat.get("head/kernel", flat.get("head/dense/kernel"))
    if kernel is not None:
        told["classes"] = kernel.shape[1]
    if not modality:
        told["width"] = next(v.shape[0] for k, v in flat.items()
                             if k.endswith("projections_photometry/bias"))  # fmt: skip
        if kernel is not None:
            told["fusion"] = "mean" if kernel.shape[0] == told["width"] else "concat"
    return told


def _photometry_fields(shapes: Mapping[str, tuple], heads: int) -> dict[str, Any]:
    blocks = {name.split("/")[0] for name in shapes if name.startswith("block_")}
    return {
        "width": shapes["norm/scale"][0],
        "heads": heads,
        "ffn": shapes["block_0/dense_1/bias"][0],
        "blocks": len(blocks),
    }


FIELDS = {
    "photometry": _photometry_fields,
    "spectrum": lambda shapes, _: {
        "channels": tuple(shapes[f"{name}/bias"][0] for name in CONVOLUTIONS.values())
    },
    "metadata": lambda shapes, _: {"width": shapes["dense_1/bias"][0]},
}


def _swap_fusion(flat: dict[str, Any], told: Mapping[str, Any], to_official: bool) -> None:
    """Reorder the kernel of `fc` on concatenated vectors, in place.

    There photometry, spectrum, metadata; here metadata, photometry, spectrum.
    """
    if told["fusion"] != "concat":
        return
    parts = np.split(flat["head/dense/kernel"], 3)
    order = (1, 2, 0) if to_official else (2, 0, 1)
    flat["head/dense/kernel"] = np.concatenate([parts[k] for k in order])


def to_official(params: Any, modality: str = "", concat: bool = False) -> Tensors:
    """Return our parameters of an official architecture as the tensors of a released model.

    modality: of a classifier of one modality; concat: its head takes all vectors side by side
    """
    flat = {path: np.asarray(a, np.float32) for path, a in flatten(params).items()}
    _swap_fusion(flat, {"fusion": "concat" if concat else "mean"}, to_official=True)
    blocks = {p for path in flat for p in path.split("/") if p.startswith("block_")}
    prefix = "" if modality else PREFIXES["photometry"]
    names = [f"{prefix}encoder.attn_layers.{b.removeprefix('block_')}." for b in blocks]
    named = dict.fromkeys([*names, *(["fc.weight"] if "head" in params else [])])
    table = layout(named, modality)
    tensors = {
        name: split_qkv(flat[path], how) if isinstance(how, int) else revert(flat[path], how)
        for name, (path, how) in table.items()
    }
    if modality in ("", "photometry"):
        width = tensors[f"{prefix}encoder.norm.bias"].shape[0]
        tensors[prefix + POSITIONS] = slot_encoding(TABLE_ROWS, width)[None]
    return tensors


def write_astrom3(path: str | Path, params: Any, modality: str = "", concat: bool = False) -> None:
    """Write parameters as the released files are (see `to_official`)."""
    write_bytes(Path(path), save(to_official(params, modality, concat), {"format": "pt"}))


def _check_names(tensors: Tensors, table: Table, where: str) -> None:
    missing = sorted(table.keys() - tensors.keys())
    if missing:
        raise UserError(f"{where} lacks tensor '{missing[0]}'" + _more(missing))
    extra = sorted(n for n in tensors.keys() - table.keys() if not n.endswith(POSITIONS))
    if extra:
        raise UserError(f"{where}: AstroM3 has no place for tensor '{extra[0]}'" + _more(extra))


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _check_positions(tensors: Tensors, modality: str, where: str) -> None:
    """Refuse a table of positions that is not the one that `slot_encoding` computes."""
    if modality not in ("", "photometry"):
        return
    name = next((n for n in tensors if n.endswith(POSITIONS)), None)
    if name is None:
        return
    table = np.asarray(tensors[name]).reshape(-1, np.asarray(tensors[name]).shape[-1])
    off = np.abs(table - slot_encoding(*table.shape)).max()
    if off > 1e-3:  # the phase at row 5000 is known to 5000 rad * 6e-8
        raise UserError(f"{where}: '{name}' is no table of sines (off by {off:.2g})")
