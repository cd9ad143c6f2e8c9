"""Weights of AstroMCAD (MIT): Keras `.h5` files of its authors, and an archive of three of them.

Keras names -> ours, layer by layer in the order of the network:
    GRUs (gru, gru_1 or gru_1, gru_2)                             -> gru_1, gru_2
    Dense layers by their number, `latent` apart, `output` last   -> dense_1, [metadata,] dense_3,
                                                                     output
Kernels are (in, out) there and here; the GRU's columns update, reset, candidate and its two biases
are those of `nn.recurrent`. The archive (`.npz`) has names as `host/gru_cell/kernel`.

The released networks were trained with the wavelengths of g and r swapped, and on times divided by
1 + z: rows for them are made with `wavelengths="astromcad"` and `dilate="redshift"` (see
`data.transient_rows`), which the config that comes with them says.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from astro_jax.errors import UserError, one_line, suggest
from astro_jax.interop.archive import array_names, read_arrays
from astro_jax.interop.tensorflow import MAX_UNPACKED
from astro_jax.models.transient import METADATA_WIDTH
from astro_jax.tree import flatten, nest

# Outputs of the released networks, in the order of the parity fixture.
CLASSES = (
    "AGN", "SLSN-I", "SNII", "SNIIb", "SNIIn", "SNIa", "SNIa-91bg", "SNIax", "SNIb", "SNIc",
    "SNIc-BL", "TDE",
)  # fmt: skip
NETWORKS = ("host", "nohost", "nohost_new")
SWAP = (
    "the released AstroMCAD networks were trained with the wavelengths of g and r swapped: rows "
    "for them are made with wavelengths='astromcad', which has them swapped too"
)
# What rows for these networks are made with, see `data.transient_rows.make_rows`.
ROWS = {"wavelengths": "astromcad", "dilate": "redshift", "scale": "const500", "length": 656}
CHANNELS = 4

Layers = dict[str, dict[str, np.ndarray]]  # layer -> kernel, bias[, recurrent_kernel]


def is_astromcad(path: str | Path) -> bool:
    """Tell a Keras file, or an archive whose names hold GRU cells."""
    path = Path(path)
    if path.suffix in (".h5", ".hdf5"):
        return True
    if path.suffix != ".npz" or not path.is_file():
        return False
    return any("/gru_cell/" in name for name in array_names(path))


def load_astromcad(path: str | Path, network: str | None = None) -> tuple[dict[str, Any], Any]:
    """Return the fields of `models.transient.Official` and its parameters.

    network: of an archive, one of NETWORKS: with redshift and E(B-V) ("host", the default), or
        without ("nohost", "nohost_new"); a Keras file holds one network
    Raises UserError for a file that cannot be read, another network, and any array that is
    missing, of another shape, not finite, or in no place of the network.
    """
    path = Path(path)
    if path.suffix == ".npz":
        layers = read_archive(path, network or NETWORKS[0])
    elif network:
        raise UserError(f"{path} holds one network; network={network!r} is for the archive")
    else:
        layers = read_keras(path)
    fields, params = from_keras(layers, str(path))
    logging.warning(SWAP)
    return fields, params


def read_archive(path: Path, network: str) -> Layers:
    """Return the layers of one network of an archive."""
    arrays = read_arrays(path)
    there = sorted({name.split("/")[0] for name in arrays})
    if network not in there:
        raise UserError(f"{path}: no network '{network}'{suggest(network, there)}")
    return {
        layer: found for layer, found in nest(arrays)[network].items() if isinstance(found, Mapping)
    }


def read_keras(path: Path) -> Layers:
    """Return the layers of a Keras HDF5 file: `model.save` or `model.save_weights`, Keras 2 and 3.

    Each layer is a group of `model_weights` (or of the file), and in it, at any depth, the arrays
    `kernel`, `recurrent_kernel`, `bias`, with `:0` behind them in Keras 2.
    """
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"{path}: Keras files need h5py: pip install -e '.[keras]'") from error
    layers: Layers = {}
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            for layer in root:
                found: dict[str, np.ndarray] = {}

                def collect(name: str, item: Any, found: dict = found) -> None:
                    if isinstance(item, h5py.Dataset):
                        found[name.split("/")[-1].removesuffix(":0")] = _values(item, path)

                inside = isinstance(root.get(layer, getlink=True), h5py.HardLink)
                if inside and isinstance(root[layer], h5py.Group):
                    root[layer].visititems(collect)  # which follows no link to elsewhere
                if found:
                    layers[layer] = found
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        reason = one_line(error, 200)
        raise UserError(f"{path} cannot be read ({reason}); get the file again") from error
    return layers


def _values(item: Any, path: Path) -> np.ndarray:
    """Return a dataset; UserError where it is larger than any of a network, or in another file."""
    if item.nbytes > MAX_UNPACKED:
        raise UserError(f"{path}: refused, {item.name} declares {item.nbytes} bytes")
    if item.external or item.is_virtual:
        raise UserError(f"{path}: refused, {item.name} names a file outside itself")
    return np.asarray(item)


def from_keras(layers: Layers, where: str) -> tuple[dict[str, Any], Any]:
    """Return the fields and the parameters of `models.transient.Official` from Keras layers."""
    cells = sorted((n for n, a in layers.items() if "recurrent_kernel" in a), key=_number)
    dense = sorted((n for n in layers if n not in cells and n != "latent"), key=_number)
    if len(cells) != 2 or len(dense) not in (3, 4) or "latent" not in layers:
        raise UserError(
            f"{where}: not a network of AstroMCAD: it has two GRUs, `latent` and 3 or 4 other "
            f"dense layers; the file has {', '.join(sorted(layers)) or 'no layers'}"
        )
    ours = ["dense_1", *(["metadata"] if len(dense) == 4 else []), "dense_3", "output"]
    names = dict(zip(["gru_1", "gru_2", *ours, "latent"], [*cells, *dense, "latent"], strict=True))
    params = {name: layers[layer] for name, layer in names.items()}
    fields = _fields(params, where)
    for name, shape in _shapes(fields).items():
        _check(params, name, shape, f"{where}: {names[name.split('/')[0]]}")
    extra = [n for n in flatten(params) if n not in _shapes(fields)]
    if extra:
        raise UserError(f"{where}: the network has no place for {', '.join(extra)}")
    return fields, {
        name: {leaf: np.asarray(a, np.float32) for leaf, a in arrays.items()}
        for name, arrays in params.items()
    }


def _number(layer: str) -> tuple[bool, int]:
    """Return where a layer stands among its kind: `dense` before `dense_1`, `output` last."""
    digits = re.search(r"_(\d+)$", layer)
    return layer.endswith("output"), int(digits[1]) if digits else 0


def _fields(params: Mapping[str, Mapping[str, np.ndarray]], where: str) -> dict[str, Any]:
    """Return the sizes of the network from its kernels."""

    def columns(layer: str, leaf: str = "kernel", axis: int = -1) -> int:
        array = params[layer].get(leaf)
        if array is None or array.ndim != 2:
            raise UserError(f"{where}: {layer} has no {leaf} of two axes")
        return int(array.shape[axis])

    return {
        "classes": columns("output"),
        "width": columns("gru_1", "recurrent_kernel", 0),
        "latent_width": columns("latent"),
        "features": columns("metadata", axis=0) if "metadata" in params else 0,
    }


def _shapes(fields: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter of a network."""
    width, features = fields["width"], fields["features"]
    joined = width + (METADATA_WIDTH if features else 0)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, inputs in (("gru_1", CHANNELS), ("gru_2", width)):
        shapes[f"{name}/kernel"] = (inputs, 3 * width)
        shapes[f"{name}/recurrent_kernel"] = (width, 3 * width)
        shapes[f"{name}/bias"] = (2, 3 * width)
    dense = {
        "dense_1": (width, width),
        **({"metadata": (features, METADATA_WIDTH)} if features else {}),
        "dense_3": (joined, width),
        "latent": (width, fields["latent_width"]),
        "output": (fields["latent_width"], fields["classes"]),
    }
    for name, shape in dense.items():
        shapes |= {f"{name}/kernel": shape, f"{name}/bias": shape[1:]}
    return shapes


def _check(params: Mapping, name: str, shape: tuple[int, ...], where: str) -> None:
    """Raise UserError unless an array is there, of its shape and finite."""
    layer, leaf = name.split("/")
    array = params[layer].get(leaf)
    if array is None:
        raise UserError(f"{where} has no {leaf}")
    if array.shape != shape:
        hint = ", written with reset_after=False" if leaf == "bias" and array.ndim == 1 else ""
        raise UserError(f"{where}/{leaf} has shape {array.shape}, not {shape}{hint}")
    if not np.isfinite(array).all():
        raise UserError(f"{where}/{leaf} holds values that are not finite")
