"""A trained model as a folder to give away: parameters, config, card and hashes; no pickle."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ml_collections import ConfigDict
from safetensors import SafetensorError
from safetensors.numpy import load as read_safetensors
from safetensors.numpy import save

import astro_jax
from astro_jax.errors import UserError
from astro_jax.fetch import digest
from astro_jax.tree import flatten, nest
from astro_jax.workdir import read_json, write_bytes, write_text

if TYPE_CHECKING:  # weights imports this file
    from astro_jax.weights import Run

PARAMS, CONFIG, CARD, HASHES = "model.safetensors", "config.json", "README.md", "SHA256SUMS"


def save_pretrained(run: "Run", folder: str | Path) -> None:
    """Write a run as a folder that `load` reads, on any machine, with any layout of devices.

    model.safetensors: the parameters, by their public paths; config.json: the config, with class
    names and preprocessing; README.md: a model card; SHA256SUMS: hashes of the three, written last,
    in the format of sha256sum, so that a folder without it is an unfinished one.
    """
    folder = Path(folder)
    flat = {key: np.asarray(value, order="C") for key, value in flatten(run.params).items()}
    told = {
        "astro_jax": astro_jax.__version__,
        "step": run.step,
        "config": json.loads(run.config.to_json()),
    }
    (folder / HASHES).unlink(missing_ok=True)
    write_bytes(folder / PARAMS, save(flat, {"astro_jax": astro_jax.__version__}))
    write_text(folder / CONFIG, json.dumps(told, indent=1, sort_keys=True) + "\n")
    write_text(folder / CARD, card(run, sum(value.size for value in flat.values())))
    sums = [f"{digest(folder / name)}  {name}\n" for name in (PARAMS, CONFIG, CARD)]
    write_text(folder / HASHES, "".join(sums))


def is_pretrained(folder: Path) -> bool:
    """Tell a folder of `save_pretrained`."""
    return (folder / HASHES).is_file()


def read_pretrained(folder: Path) -> tuple[ConfigDict, dict, int]:
    """Return config, parameters and step of a folder of `save_pretrained`.

    Raises UserError where a file is missing or is not what was written; nothing of it is used then.
    """
    for name, expected in _sums(folder).items():
        try:
            found = digest(folder / name)
        except OSError as error:
            raise UserError(
                f"{folder / name} cannot be read ({error.strerror}); take the folder from its "
                "source again"
            ) from error
        if found != expected:
            raise UserError(
                f"{folder / name} is not what was written (SHA-256 {found[:12]}... instead of "
                f"{expected[:12]}...); take the folder from its source again"
            )
    told = read_json(folder / CONFIG)
    if not {"config", "step"} <= told.keys():
        raise UserError(f"{folder / CONFIG} holds no config of a run")
    try:
        params = read_safetensors((folder / PARAMS).read_bytes())
    except SafetensorError as error:
        raise UserError(f"{folder / PARAMS} cannot be read ({error})") from error
    return ConfigDict(told["config"]), nest(params), int(told["step"])


def _sums(folder: Path) -> dict[str, str]:
    lines = (folder / HASHES).read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    if any(len(pair) != 2 or len(pair[0]) != 64 for pair in pairs):
        raise UserError(f"{folder / HASHES} is damaged; take the folder from its source again")
    sums = {name: told for told, name in pairs}
    missing = {PARAMS, CONFIG} - sums.keys()
    if missing or any(Path(name).name != name or not name.isprintable() for name in sums):
        raise UserError(f"{folder / HASHES} must name {PARAMS} and {CONFIG}, and files beside it")
    return sums


def card(run: "Run", size: int) -> str:
    """Return a model card in Markdown: what the model is, and how to use it."""
    config = run.config
    model = config.model.get("target", "").partition(":")[2]
    rows = [
        ("network", f"`{model}`, {size:,} parameters"),
        ("step", f"{run.step:,}"),
        ("seed", config.get("seed", "unknown")),
        ("data", config.get("data", {}).get("path", "") or "simulated, or unknown"),
        ("started from", config.get("init", "") or "nothing"),
        ("classes", ", ".join(config.get("classes", ())) or "none"),
        ("written by", f"astro_jax {astro_jax.__version__}"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    use = "predict(run, curves)" if "classes" in config else "encode(run, curves)"
    return (
        f"# {model}\n\nA model of `astro_jax`, to classify or describe survey data.\n\n"
        f"| | |\n|---|---|\n{table}\n\n"
        "```python\nimport astro_jax\n\n"
        f'run = astro_jax.load("THIS_FOLDER")\nfound = astro_jax.{use}\n```\n\n'
        "`config.json` holds the whole config, class names and preprocessing; `SHA256SUMS` is "
        "checked when the folder is loaded. What to cite: "
        "`python -m astro_jax.main --config=configs/cite.py --config.init=THIS_FOLDER`.\n"
    )
