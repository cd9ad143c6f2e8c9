"""The experiment downstream: its cells are variants of configs, and none is measured twice."""

import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from tiny import ROOT, config_module

FOLDER = ROOT / "experiments" / "downstream"
CODE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import common, networks, periods
import numpy as np
from astro_jax.models.forest import Forest, grow
common.FLAGS(["x"])
common.HERE = Path(sys.argv[2])
asked = []
def measure(*cell):
    asked.append(cell)
    return {"value": len(asked)}
first = common.fill("x", [("a", 1), ("b", 2)], measure)
common.FLAGS.minutes = -1.0
none = common.fill("x", [("a", 1), ("b", 2), ("c", 3)], measure)
common.FLAGS.minutes = 9.0
last = common.fill("x", [("c", 3), ("a", 1)], measure)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(60, 4)).astype(np.float32), np.arange(60) % 3
sizes, params = grow(x, x, y, 3, 1, 20)
plain = Forest(**sizes).apply({"params": params}, {}, {"features": x, "vector": x}, None)
ours = common.forest((x, x), y, (x, x), 3, 1, trees=20)
print(json.dumps({
    "counts": [len(first), len(none), len(last)],
    "asked": asked,
    "gap": float(np.abs(ours - np.asarray(plain["logits"])).max()),
    "heads": [head for _, head in networks.TRAINED + networks.FROZEN] + list(networks.ALONE),
    "left_out": list(common.LEFT_OUT.values()),
    "periods": periods.VARIANTS,
    "data": common.data_of("asas"),
}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("downstream")
    command = [sys.executable, "-c", CODE, str(FOLDER), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return {**json.loads(done.stdout.splitlines()[-1]), "folder": folder}


def test_a_cell_is_measured_once_and_none_after_the_time_is_over(told):
    assert told["counts"] == [2, 2, 3] and told["asked"] == [["a", 1], ["b", 2], ["c", 3]]
    kept = json.loads((told["folder"] / "x.json").read_text())
    assert [record["cell"] for record in kept["cells"]] == told["asked"]
    assert (kept["wanted"], kept["done"]) == (2, 2)
    assert kept["cells"][2]["value"] == 3


def test_a_forest_of_the_common_program_is_the_forest(told):
    assert told["gap"] < 1e-6


def test_every_cell_is_a_variant_of_a_config(told):
    assert set(told["heads"]) <= set(config_module("classify").VARIANTS)
    assert {"period", "mlp_att"} < set(told["periods"]) <= set(config_module("regress").VARIANTS)
    variants = set(config_module("pretrain_macho").VARIANTS)
    assert {f"without_{name}" for name in told["left_out"]} <= variants
    assert {f"width_{w}_base_{b}" for w in (64, 128, 256) for b in (1000, 10000)} <= variants
    kinds = {f"lstm{rate}" for rate in ("", "_1e-2", "_1e-4", "_1e-5")}
    kinds |= {f"mlp_att{vector}" for vector in ("", "_first", "_last", "_random")}
    assert kinds <= set(config_module("classify").VARIANTS)
    assert told["data"]["data__without"] == ["Close Binary Eclipsing Systems"]


@pytest.mark.parametrize("name", ["asas", "crts", "ogle", "eros", "macho"])
def test_weights_without_a_survey_read_none_of_its_curves(name, shared):
    path = config_module("pretrain_macho").get_config(f"without_{name}").data.path
    folder = shared / "data" / "variable_stars"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    every = set(folder.glob("*.parquet"))
    read = set(folder.glob(path.rsplit("/", 1)[1]))
    has = {file for file in every if any(s.startswith(name) for s in surveys_in(file))}
    assert every - read == has != set()


def surveys_in(file):
    """Return the surveys that a table names, in small letters."""
    return {s.lower() for s in pq.read_table(file, columns=["survey"])["survey"].to_pylist()}
