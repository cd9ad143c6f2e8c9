"""Weights that the ASTROMER authors published, as parameters of `astro_jax.models.astromer`.

Every name and shape is checked; names are official ones after `astromer_names`. A kernel is
(in, out): y = x @ kernel + bias.

Tested on the released `macho_a0`. No file of Astromer 2 was at hand: its keys are those that
TensorFlow derives from the attributes of the authors' code (`reshape_leak_1`, `msk_token`), tested
on files written in that layout.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from astro_jax.errors import UserError
from astro_jax.interop.archive import read_arrays
from astro_jax.interop.astromer_names import canonical_names
from astro_jax.interop.tensorflow import Checkpoint, find_checkpoint, read_bundle
from astro_jax.tree import flatten, nest

HEADS = 4  # as in macho_a0 and Astromer 2; shapes do not tell
MAX_OBS = 200

Params = dict[str, "np.ndarray | Params"]

_QKV = ("wq", "wk", "wv")

# Ours -> official, for what is stored in the same shape in both.
_TOP = {
    "embed": "inp_transform",
    "decoder/norm": "regression/layernorm",
    "decoder/dense": "regression/dense",
}
_BLOCK = {
    "norm_1": "layernorm1",
    "norm_2": "layernorm2",
    "dense_1": "ffn/dense_0",
    "dense_2": "ffn/dense_1",
}
_RESIDUALS = {"residual_1": "reshape_leak_1", "residual_2": "reshape_leak_2"}

# What the files beside the weights call it: conf.json (tag v1.0) and config.toml (later).
_STATED = {
    "blocks": ("layers", "num_layers"),
    "heads": ("heads", "num_heads"),
    "width": ("pe_dim",),
    "ffn": ("dff", "mixer", "mixer_size"),
    "max_obs": ("max_obs", "window_size"),
}


def load_official(path: str | Path, heads: int = HEADS) -> tuple[str, dict, Params]:
    """Load released ASTROMER weights: (family, config, params), every name and shape checked.

    path: macho_a0.zip, the folder it unpacks to, a checkpoint prefix, or an .npz of official names
    heads: used only where no conf.json or config.toml stands beside the weights
    family: "v0" (no residuals) or "astromer2" (learned residuals), from the names alone: the
        interim models macho_1 and macho_1c have the names of v0 but another mask
        (`config["released"]["mask_format"]`)
    config: width, heads, ffn, blocks, base, max_obs; `released` (what the authors' file says); and
        for astromer2 `mask_token_released`: False where the checkpoint has no token (the released
        code cut it out of the graph), so that ours is set to 0

    `base` is 10000 always: the file says 1000, but the released code never passes it on.
    Raises UserError where something is missing, unexpected, of another shape or damaged.
    """
    path = Path(path)
    if path.suffix == ".npz":
        arrays, released = read_arrays(path), {}
    else:
        checkpoint = find_checkpoint(path)
        arrays, released = read_bundle(checkpoint), _read_config(checkpoint)
    heads = _stated(released, "heads", heads)
    try:
        family, params = from_official(arrays, heads)
        config = _describe(params, released, heads)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if family == "astromer2":
        config["mask_token_released"] = "mask_token" in canonical_names(arrays).values()
    return family, config, params


def from_official(arrays: Mapping[str, np.ndarray], heads: int = HEADS) -> tuple[str, Params]:
    """Map official variables, in any of the three namings, to (family, our parameter tree).

    Raises UserError that names every variable missing, unexpected, or of another shape or type.
    """
    names = canonical_names(arrays)
    _refuse_twins(names)
    official = {short: np.asarray(arrays[name]) for name, short in names.items()}
    family = "astromer2" if any("reshape_leak" in name for name in official) else "v0"
    original = {short: name for name, short in names.items()}
    blocks = _check(official, original, family)
    width = official["inp_transform/bias"].size
    if type(heads) is not int or heads < 1 or width % heads:
        raise UserError(f"{heads} heads do not divide a width of {width}; give heads=")
    flat = {ours: official[theirs] for ours, theirs in _same_shape(family, blocks).items()}
    for i in range(blocks):
        flat |= _join_heads(official, i, heads)
    if family == "astromer2":
        token = official.get("mask_token", np.zeros((1, 1), np.float32))
        flat["mask_token"] = token.reshape(())
    return family, nest(flat)


def to_official(params: Params) -> dict[str, np.ndarray]:
    """Map our parameter tree (or gradients of the same structure) back to official names."""
    flat = {name: np.asarray(leaf) for name, leaf in flatten(params).items()}
    blocks = len({name.split("/")[0] for name in flat if name.startswith("block_")})
    family = "astromer2" if "mask_token" in flat else "v0"
    official = {theirs: flat[ours] for ours, theirs in _same_shape(family, blocks).items()}
    for i in range(blocks):
        official |= _split_heads(flat, i)
    if family == "astromer2":
        official["mask_token"] = flat["mask_token"].reshape(1, 1)
    return official


# The check: names, shapes, types


def _check(official: Mapping[str, np.ndarray], original: Mapping[str, str], family: str) -> int:
    """Return the number of blocks, or raise UserError that names all that differs."""
    blocks = len(set(re.findall(r"enc_layers/(\d+)/", " ".join(official))))
    width = official.get("inp_transform/bias", np.zeros(0)).size
    ffn = official.get("enc_layers/0/ffn/dense_0/bias", np.zeros(0)).size
    expected = _expected(family, blocks, width, ffn)
    optional = {"mask_token": (1, 1)} if family == "astromer2" else {}
    problems = [f"missing {name}" for name in expected if name not in official]
    for name, array in official.items():
        shape = (expected | optional).get(name)
        if shape is None:
            problems.append(f"unexpected {original[name]} {array.shape}")
        elif array.dtype != np.float32:
            problems.append(f"{original[name]} is {array.dtype}, not float32")
        elif array.shape != shape:
            problems.append(f"{original[name]} has shape {array.shape}, expected {shape}")
    if problems:
        kind = f"{family}, {blocks} blocks, width {width}, ffn {ffn}"
        raise UserError(f"not the weights of an ASTROMER ({kind}): {'; '.join(problems)}")
    return blocks


def _expected(family: str, blocks: int, width: int, ffn: int) -> dict[str, tuple[int, ...]]:
    """Return official name -> shape of all variables of a model."""
    dense = {"inp_transform": (1, width), "regression/dense": (width, 1)}
    norms = ["regression/layernorm"]
    square = [f"mha/{name}" for name in (*_QKV, "dense")]
    square += _RESIDUALS.values() if family == "astromer2" else []
    for i in range(blocks):
        dense |= {f"enc_layers/{i}/{name}": (width, width) for name in square}
        dense |= {f"enc_layers/{i}/ffn/dense_0": (width, ffn)}
        dense |= {f"enc_layers/{i}/ffn/dense_1": (ffn, width)}
        norms += [f"enc_layers/{i}/layernorm{k}" for k in (1, 2)]
    shapes = {f"{name}/kernel": shape for name, shape in dense.items()}
    shapes |= {f"{name}/bias": shape[1:] for name, shape in dense.items()}
    return shapes | {f"{name}/{part}": (width,) for name in norms for part in ("gamma", "beta")}


def _refuse_twins(names: Mapping[str, str]) -> None:
    """Raise UserError where two variables mean the same one."""
    seen: dict[str, str] = {}
    for name, short in names.items():
        if short in seen:
            raise UserError(f"{seen[short]} and {name} are both {short}")
        seen[short] = name


# Values: official <-> ours


def _same_shape(family: str, blocks: int) -> dict[str, str]:
    """Return ours -> official for all variables but those of the attention's projections."""
    block = _BLOCK | (_RESIDUALS if family == "astromer2" else {})
    layers = dict(_TOP)
    for i in range(blocks):
        layers |= {f"block_{i}/{ours}": f"enc_layers/{i}/{name}" for ours, name in block.items()}
    pairs = {}
    for ours, theirs in layers.items():
        norm = "norm" in theirs
        for a, b in (
            (("scale", "gamma"), ("bias", "beta")) if norm else (("kernel",) * 2, ("bias",) * 2)
        ):
            pairs[f"{ours}/{a}"] = f"{theirs}/{b}"
    return pairs


def _join_heads(official: Mapping[str, np.ndarray], i: int, heads: int) -> dict[str, np.ndarray]:
    """Stack q, k, v and split the width into heads: [D, D] x 3 -> [D, 3, H, K]."""
    theirs, ours = f"enc_layers/{i}/mha", f"block_{i}/attention"
    kernel = np.stack([official[f"{theirs}/{name}/kernel"] for name in _QKV], axis=1)
    bias = np.stack([official[f"{theirs}/{name}/bias"] for name in _QKV])
    out = official[f"{theirs}/dense/kernel"]
    return {
        f"{ours}/qkv/kernel": kernel.reshape(*kernel.shape[:2], heads, -1),
        f"{ours}/qkv/bias": bias.reshape(3, heads, -1),
        f"{ours}/out/kernel": out.reshape(heads, -1, out.shape[1]),
        f"{ours}/out/bias": official[f"{theirs}/dense/bias"],
    }


def _split_heads(flat: Mapping[str, np.ndarray], i: int) -> dict[str, np.ndarray]:
    """Undo `_join_heads`."""
    theirs, ours = f"enc_layers/{i}/mha", f"block_{i}/attention"
    kernel, bias = flat[f"{ours}/qkv/kernel"], flat[f"{ours}/qkv/bias"]
    width = kernel.shape[0]
    official = {
        f"{theirs}/dense/kernel": flat[f"{ours}/out/kernel"].reshape(width, width),
        f"{theirs}/dense/bias": flat[f"{ours}/out/bias"],
    }
    for k, name in enumerate(_QKV):
        official[f"{theirs}/{name}/kernel"] = kernel[:, k].reshape(width, width)
        official[f"{theirs}/{name}/bias"] = bias[k].reshape(width)
    return official


# Files beside the weights


def _read_config(checkpoint: Checkpoint) -> dict:
    """Read conf.json or config.toml of the checkpoint's folder, or of the one above; {} if none."""
    folder = PurePosixPath(checkpoint.prefix).parent
    for place in (folder, folder.parent if folder.name else folder / ".."):
        for name, parse in (("conf.json", json.loads), ("config.toml", tomllib.loads)):
            file = str(place / name)
            data = checkpoint.read(file)
            if data is None:
                continue
            try:
                config = parse(data.decode())
            except ValueError as error:
                raise UserError(f"{checkpoint.place}: {file}: {error}") from None
            if not isinstance(config, dict):
                raise UserError(f"{checkpoint.place}: {file}: holds no table of settings")
            return config
    return {}


def _stated(released: Mapping, key: str, default: int | None) -> int | None:
    """Return what the authors' file says of `key`, under whichever of its names."""
    return next((released[name] for name in _STATED[key] if name in released), default)


def _describe(params: Params, released: dict, heads: int) -> dict:
    """Return the config, taken from the shapes; raise UserError where the file disagrees."""
    width, ffn = params["block_0"]["dense_1"]["kernel"].shape
    blocks = sum(name.startswith("block_") for name in params)
    config = {"width": width, "heads": heads, "ffn": ffn, "blocks": blocks}
    for key, value in config.items():
        if (stated := _stated(released, key, value)) != value:
            raise UserError(f"the config says {key} = {stated}, the weights have {value}")
    head_dim = released.get("head_dim", width)  # the width in conf.json, of one head in config.toml
    if head_dim not in (width, width // heads):
        raise UserError(f"the config says head_dim = {head_dim}, the weights have {width}")
    max_obs = _stated(released, "max_obs", MAX_OBS)
    return config | {"base": 10000.0, "max_obs": max_obs, "released": released}
