"""Weights of AstroM3 (safetensors; hub organisation AstroMLCore), read and written without torch.

A classifier of one modality has its tower's names bare or with the prefix, and `fc`. Linear and
convolution kernels are (out, in[, size]) there and ([size,] in, out) here; query, key and value
are one kernel here; `fc` on all three vectors has them in alphabetical order here. The stored
table of positions is checked against ours and not kept. Which is which: `astrom3_names`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from astro_jax.errors import UserError
from astro_jax.interop.astrom3_names import (
    CONVOLUTIONS,
    HEADS,
    POSITIONS,
    PREFIXES,
    TABLE_ROWS,
    Table,
    Tensors,
    bare_names,
    is_astrom3,
    layout,
)
from astro_jax.models.astrom3 import (
    AstroM3,
    ConcatFusion,
    FusedClassifier,
    GalSpecNet,
    MeanFusion,
    OfficialInformer,
    OfficialMetadata,
    TowerClassifier,
)
from astro_jax.nn.informer import slot_encoding
from astro_jax.spec import spec
from astro_jax.tree import flatten, nest
from astro_jax.workdir import read_json, write_bytes

# Of the published data set, alphabetical: the class numbers of the released classifiers.
CLASSES = ("DSCT", "EA", "EB", "EW", "HADS", "M", "ROT", "RRAB", "RRC", "SR")
# What the rows of the released models are made with, see `data.multimodal`.
ROWS = {"rules": "official", "length": 200, "padding": "zero", "wavelengths": (3850.0, 9000.0, 2.0)}
TOWERS = {
    "photometry": OfficialInformer,
    "spectrum": GalSpecNet,
    "metadata": OfficialMetadata,
}


def read_tensors(path: Path) -> Tensors:
    """Return the tensors of a safetensors file, or of the `model.safetensors` in a folder."""
    path = path / "model.safetensors" if path.is_dir() else path
    try:
        with safe_open(path, "numpy") as handle:
            return {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read ({error})") from error


def is_released(path: Path) -> bool:
    """Tell a released file, or the folder of a model on the hub."""
    file = path / "model.safetensors" if path.is_dir() else path
    if file.suffix != ".safetensors" or not file.is_file():
        return False
    try:
        with safe_open(file, "numpy") as handle:
            return is_astrom3(handle.keys())
    except (OSError, SafetensorError):
        return False


def released_config(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a released model (see `from_official`): model, classes, rows."""
    towers = {name: spec(TOWERS[name], **fields) for name, fields in told["towers"].items()}
    if told["modality"]:
        tower = towers[told["modality"]]
        more = {"modality": told["modality"], "classes": told["classes"]}
        model = spec(TowerClassifier, encoder=tower, **more)
    else:
        model = spec(AstroM3, towers=towers, space=told["space"])
        if told["classes"]:
            head = MeanFusion if told["fusion"] == "mean" else ConcatFusion
            model = spec(FusedClassifier, encoder=model, head=spec(head, classes=told["classes"]))
    config = {"model": model, "rows": ROWS, "modalities": sorted(towers)}
    known = told["classes"] == len(CLASSES)
    return {**config, "classes": list(CLASSES)} if known else config


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
        told["space"] = next(v.shape[0] for k, v in flat.items()
                             if k.endswith("projections_photometry/bias"))  # fmt: skip
        if kernel is not None:
            told["fusion"] = "mean" if kernel.shape[0] == told["space"] else "concat"
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
