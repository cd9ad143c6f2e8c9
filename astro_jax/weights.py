"""Trained parameters: from a run folder, shipped with the package, or published by others."""

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from astro_jax import checkpoint, exchange, transient_head
from astro_jax.errors import UserError, suggest
from astro_jax.fetch import REMOTE, fetch
from astro_jax.interop import astrom3, astromcad
from astro_jax.interop.astromer import load_official
from astro_jax.models import transient
from astro_jax.models.astromer import Astromer2, Official
from astro_jax.spec import build, check_loaded, spec
from astro_jax.tree import flatten, nest
from astro_jax.workdir import read_json, write_bytes

FAMILIES = {"v0": Official, "astromer2": Astromer2}
WEIGHTS = (".zip", ".npz", ".index")
ANSWERS = ("classes", "target")  # keys of a config that say what the outputs of a head mean


class Run(NamedTuple):
    """A trained model: its config, the Linen module, the parameters, and their step."""

    config: ConfigDict
    model: Any
    params: Any
    step: int


def load(
    name: str | Path, step: str = "best", network: str | None = None, trust: Sequence[str] = ()
) -> Run:
    """Load a run folder, shipped weights by name ("base"), or the weights of a reference.

    name: a run folder; a name of `shipped()`; a folder of `save_pretrained`; a file of
        `save_safetensors`; "macho", the official weights of ASTROMER from their authors' repository
        (see `fetch`); `macho_a0.zip`, the folder it unpacks to, or another checkpoint of ASTROMER
        (see `interop.astromer`); a Keras file or the archive of AstroMCAD (see
        `interop.astromcad`); a safetensors file, or the folder of it, of AstroM3 (see
        `interop.astrom3`)
    step: of a run folder, "best" (lowest validation RMSE) or "last"
    network: of the archive of AstroMCAD, one of its networks
    trust: packages beside astro_jax whose code the config may name; see `spec.check_loaded`
    Raises UserError where there is no such thing, naming what there is.
    """
    path = Path(name)
    if exchange.is_pretrained(path):
        config, params, at = exchange.read_pretrained(path)
        return _run(config, params, at, path, trust)
    if astrom3.is_released(path):
        told, params = astrom3.load_astrom3(path)
        config = ConfigDict(astrom3.released_config(told))
        return Run(config, build(config.model), params, 0)
    trained = (path / "config.json").exists() or (path / "checkpoints").is_dir()
    if trained and not (path / "weights.index").exists():
        told = [path / name for name in ("task.json", "calibration.json")]
        facts = {k: v for file in told if file.exists() for k, v in read_json(file).items()}
        config = read_json(path / "config.json")
        if "model" not in config:
            raise UserError(f"{path / 'config.json'} describes no model: not the folder of a run")
        params, at = checkpoint.load_params(path, step)
        return _run(ConfigDict({**config, **facts}), params, at, path, trust)
    if str(name) in shipped():
        return _load_shipped(str(name))
    if path.suffix == ".safetensors":
        return load_safetensors(path, trust)
    if str(name) in REMOTE and not path.exists():
        return _load_official(fetch(str(name)))
    if astromcad.is_astromcad(path):
        return _load_astromcad(path, network)
    if path.suffix in WEIGHTS or path.is_dir() or path.with_suffix(".index").exists():
        return _load_official(path)
    raise UserError(
        f"no run folder, weights file or shipped weights '{name}'"
        f"{suggest(str(name), [*shipped(), *REMOTE])}"
    )


def _run(config: ConfigDict, params: Any, step: int, where: Path, trust: Sequence[str]) -> Run:
    """Return a run whose config came from a file, once that names nothing but what is harmless.

    Objective and optimizer are never built from it: a job that trains brings its own.
    """
    called = {k: v for k, v in config.items() if k not in ("objective", "optimizer")}
    check_loaded(called, where, trust)
    return Run(config, build(config.model), params, step)


def shipped() -> list[str]:
    """Return the names of the weights that come with the package."""
    folder = importlib.resources.files("astro_jax") / "pretrained"
    return (
        sorted(
            f.name.removesuffix(".safetensors")
            for f in folder.iterdir()
            if f.name.endswith(".safetensors")
        )
        if folder.is_dir()
        else []
    )


def _load_shipped(name: str) -> Run:
    folder = importlib.resources.files("astro_jax") / "pretrained"
    with importlib.resources.as_file(folder / f"{name}.safetensors") as path:
        return load_safetensors(path)


def load_safetensors(path: Path, trust: Sequence[str] = ()) -> Run:
    """Read one file of parameters with its config in the header (see `save_safetensors`)."""
    try:
        with safe_open(path, "numpy") as handle:
            header = handle.metadata() or {}
            flat = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read ({error}); get the file again") from error
    if not {"config", "step"} <= header.keys():
        raise UserError(f"{path} holds no config of a run: not a file of save_safetensors")
    try:
        config, step = ConfigDict(json.loads(header["config"])), int(header["step"])
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: its config is damaged ({error}); get the file again") from error
    params = nest(flat)
    if header.get("sha256", checkpoint.digest(params)) != checkpoint.digest(params):
        raise UserError(f"{path}: its parameters are not what was saved; get the file again")
    return _run(config, params, step, path, trust)


def save_safetensors(run: Run, path: Path) -> None:
    """Write the parameters of a run as one file; its config stands in the header."""
    flat = {key: np.asarray(value, order="C") for key, value in flatten(run.params).items()}
    header = {"config": run.config.to_json(), "step": str(run.step)}
    header["sha256"] = checkpoint.digest(nest(flat))
    write_bytes(Path(path), save(flat, header))


def _load_official(path: Path) -> Run:
    family, found, params = load_official(path)
    fields = ("width", "heads", "ffn", "blocks", "base")
    model = spec(FAMILIES[family], **{name: found[name] for name in fields})
    config = ConfigDict({"model": model, "window": found["max_obs"], "released": found["released"]})
    return Run(config, build(config.model), params, 0)


def _load_astromcad(path: Path, network: str | None) -> Run:
    fields, params = astromcad.load_astromcad(path, network)
    classes = list(astromcad.CLASSES) if fields["classes"] == len(astromcad.CLASSES) else []
    config = {
        "model": spec(transient.Official, **fields),
        "rows": astromcad.ROWS,
        "metadata": ["redshift", "mwebv"][: fields["features"]],
        "classes": classes,
    }
    config = ConfigDict(config)
    return Run(config, build(config.model), params, 0)


def initial_params(config: ConfigDict, model: Any, example: Any, given: Any = None) -> Any:
    """Return what training starts from: `given`, `config.init`'s, or drawn from the seed.

    A model with a head takes the encoder of a run without one, and only the encoder of a run whose
    head is another one or stands for other classes, which is said.
    """
    params = jax.jit(model.init)(jax.random.key(config.seed), example)["params"]
    if given is None and not config.init:
        return params
    run = None if given is not None else load(config.init)
    source, told = (given, {}) if run is None else (run.params, run.config)
    name = config.init or "the given run"
    if "output" in params and run is not None:
        return transient_head.warm_start(config, params, run)
    if "head" not in params:
        return checkpoint.warm_start(params, source.get("encoder", source), name)
    if "head" in source and checkpoint.fits(params["head"], source["head"]):
        if _answers(config) == _answers(told):
            return checkpoint.warm_start(params, source, name)
        print(f"the head of {name} stands for other classes: it starts anew")
    elif "head" in source:
        print(f"the head of {name} has other shapes than config.model.head: it starts anew")
    if "encoder" not in params:
        raise UserError(
            f"config.init={name}: config.model has no encoder to start from it, and its head does "
            "not fit; leave --config.init out"
        )
    encoder = source.get("encoder", source)
    return {**params, "encoder": checkpoint.warm_start(params["encoder"], encoder, name)}


def _answers(config: Mapping[str, Any] | ConfigDict) -> list:
    found = [config.get(name) for name in ANSWERS]
    return [value if isinstance(value, str | None) else list(value) for value in found]


def encoder_spec(run: Run, name: str = "this run") -> ConfigDict:
    """Return the spec of the encoder of a run; UserError for a classifier of raw curves."""
    model = run.config.model
    found = model.encoder if "encoder" in model else model
    if not found:
        raise UserError(f"{name} has no encoder: its head reads raw curves; give another run")
    return ConfigDict(found)
