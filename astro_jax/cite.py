"""What to cite for a run: the papers of its network, its method and its software, as BibTeX."""

import glob
import importlib.resources
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from ml_collections import ConfigDict

from astro_jax.errors import UserError
from astro_jax.spec import targets
from astro_jax.weights import load

# what a target in the config of a run rests on
USED = {
    "astro_jax.models.astromer:Astromer2": ("DonosoOliva2026",),
    "astro_jax.models.astromer": ("DonosoOliva2023",),
    "astro_jax.models.astrom3": ("Rizhko2024", "Zhou2021"),
    "astro_jax.models.transient": ("Gupta2025transfer", "Gupta2025anomaly"),
    "astro_jax.models.forest": ("Geurts2006", "Breiman2001", "Pedregosa2011", "Saerens2002"),
    "astro_jax.models.period_forest": ("Breiman2001", "Geurts2006", "Pedregosa2011"),
    "astro_jax.models.classifier": ("DonosoOliva2023",),
}
ALWAYS = ("jax", "flax")


def run(config: ConfigDict, workdir: Path) -> int:
    """Print the BibTeX of what `config.init` used: the job. What the data ask for follows."""
    if not config.init:
        raise UserError("cite needs --config.init=RUN: a run folder, or weights")
    trained = load(config.init)
    known = entries()
    print("\n\n".join(known[key] for key in cited(trained.config)))
    for line in data_citations(trained.config):
        print(f"\n% {line}")
    return 0


def cited(config: Any) -> list[str]:
    """Return the keys of references.bib that a config rests on, papers first."""
    found: list[str] = []
    for target in targets(config.get("model", {})):
        keys = USED.get(target) or USED.get(target.partition(":")[0], ())
        found += [key for key in keys if key not in found]
    return [*found, *ALWAYS]


def entries() -> dict[str, str]:
    """Return the entries of references.bib by their key."""
    text = (importlib.resources.files("astro_jax") / "references.bib").read_text(encoding="utf-8")
    found = [part.strip() for part in text.split("\n\n") if part.strip()]
    return {re.match(r"@\w+{(\w+),", part)[1]: part for part in found}


def data_citations(config: Any) -> list[str]:
    """Return what the data files of a config ask to be cited, as far as they can be found.

    An object table says so in its schema metadata, under a key with "cit" in it.
    """
    path = config.get("data", {}).get("path", "")
    if not path:
        return ["data: none are named in the config, or they were simulated by astro_jax"]
    files = sorted(glob.glob(f"{path}/*.parquet") if Path(path).is_dir() else glob.glob(path))
    told = []
    for file in files:
        try:
            metadata = pq.read_schema(file).metadata or {}
        except (OSError, pa.ArrowInvalid):
            continue
        words = [v.decode() for k, v in metadata.items() if b"cit" in k.lower()]
        told += [f"data: {file}: {' '.join(text.split())}" for text in words]
    return told or [f"data: {path}: nothing says what to cite; ask their source"]
