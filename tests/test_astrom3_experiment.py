"""The experiment of AstroM3: what it measures in a space, and how it gathers what is finished."""

import json
import subprocess
import sys
import types

import numpy as np
import pyarrow as pa
import pytest
from tiny import ROOT

from astro_jax.data.multimodal import Objects, Series

FOLDER = ROOT / "experiments" / "astrom3"


@pytest.fixture(scope="module")
def space():
    """Return the module of the experiment, without leaving its names and flags to other tests."""
    from absl import flags

    sys.path.insert(0, str(FOLDER))
    hidden = {name: sys.modules.pop(name, None) for name in ("common", "labels", "space")}
    before = set(flags.FLAGS)
    try:
        import space as module

        yield module
    finally:
        sys.path.remove(str(FOLDER))
        for name, old in hidden.items():
            sys.modules.pop(name, None)
            if old is not None:
                sys.modules[name] = old
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)


def stars():
    """Return 40 vectors about two directions, and objects with planted mistakes."""
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], 20)
    x = np.eye(8)[codes] + 0.05 * rng.standard_normal((40, 8))
    label = np.array(["ROT", "M"])[codes].astype(object)
    label[3] = "M"  # wrong
    kind = np.where(np.arange(40) % 2, "giant", "dwarf")
    x[:, 4] += 0.6 * (np.arange(40) % 2)
    odd = np.full(40, "", object)
    odd[30] = "spectrum"
    truth = np.array(["ROT", "M"])[codes]
    period = np.where(np.arange(40) == 12, 0.25, 0.5)  # wrong
    columns = {"id": [str(k) for k in range(40)], "label": list(label), "true_label": list(truth),
               "subtype": list(kind), "odd": list(odd), "period": period,
               "true_period": np.full(40, 0.5)}  # fmt: skip
    vectors = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return vectors, Objects(pa.table(columns), {}), np.where(label == "ROT", 1, 0)


def test_planted_mistakes_and_sub_types_are_found(space):
    vectors, objects, codes = stars()
    told = space.wrong_labels(vectors, codes, objects)
    found = told["labels"]
    assert found["planted"] == 1 and found["precision"] == found["recall"] == 1.0
    assert told["found"] == 1 and told["periods"]["planted"] == 1
    assert told["periods"]["recall"] == 0.0 and told["either"]["recall"] == 0.5
    assert min(space.hidden_splits(vectors, objects).values()) > 0.7
    assert 0.9 < space.neighbours(vectors, objects) <= 1.0


def test_a_modality_of_another_star_disagrees(space):
    vectors, objects, codes = stars()
    other = vectors.copy()
    other[30] = vectors[0]
    told = space.odd_members({"a": vectors, "b": other}, codes, objects)["odd"]
    assert told["planted"] == 1 and told["auroc_disagreement"] == 1.0
    assert told["auroc_b"] > 0.9 > told["auroc_a"]
    plain = space.odd_members({"a": vectors, "b": other[:, :5]}, codes, objects)["odd"]
    assert "auroc_disagreement" not in plain and plain["recall"] == 1.0


def test_a_wrong_period_is_found_where_the_light_curve_lies_far(space):
    vectors, objects, codes = stars()
    far = vectors.copy()
    far[12] = vectors[30]
    told = space.wrong_labels(far, codes, objects)
    assert told["periods"] == {"precision": 0.5, "recall": 1.0, "planted": 1, "chance": 1 / 40}
    assert told["either"]["precision"] == told["either"]["recall"] == 1.0
    ranks = space.odd_members({"a": far, "b": vectors}, codes, objects)["periods"]
    assert ranks["auroc_a"] > 0.9 > ranks["auroc_b"]


def test_unseen_classes_at_the_expected_centroid(space):
    vectors, objects, codes = stars()
    new = Objects(pa.table({"id": ["a", "b"], "true_label": ["ROT:", "ROT:"]}), {})
    unseen = np.stack([vectors[0], vectors[39]])
    told = space.expected_share(vectors, codes, ["M", "ROT"], unseen, new)
    assert told == {"ROT:": 0.5}


def test_means_over_seeds_keep_the_shape(space):
    told = space.means([{"a": {"b": 1.0}, "c": [0.0, 2.0]}, {"a": {"b": 3.0}, "c": [0.0, 4.0]}])
    assert told["a"]["b"]["mean"] == 2.0 and told["c"][1]["mean"] == 3.0


def test_a_wrong_period_makes_a_long_string(space):
    _, objects, codes = stars()
    length = np.where(codes == 1, 0.1, 0.8)  # of classes that differ
    length[12] = 0.3
    values = np.stack([np.zeros(40), length], axis=1).astype(np.float32)
    series = Series(("time", "lksl"), values, np.arange(41))
    assert space.string_length(codes, objects.with_parts(photometry=series)) == 1.0


def test_the_space_is_tested_against_what_it_is_measured_beside(space):
    rows = [{"mean": {"M": m}, "plain all": {"M": p}, "photometry": {"M": m}} for m, p in
            ((0.5, 0.1), (0.6, 0.3), (0.7, 0.5))]  # fmt: skip
    each = [{"rand": row, "wrong_labels": {}, "unseen": {}, "odd": {}, "across": {},
             "neighbours": {"mean": 0.9, "plain photo": 0.9}, "contrast": {}}
            for row in rows]  # fmt: skip
    told = space.compared(each)
    assert set(told["rand"]) == {"mean over plain all", "mean over photometry"}
    pair = told["rand"]["mean over plain all"]["M"]
    assert pair["gain"] == pytest.approx(0.3) and pair["p"] == pytest.approx(0.0351, abs=1e-4)
    assert pair["interval"] == pytest.approx([0.3 - 0.2484, 0.3 + 0.2484], abs=1e-4)
    assert told["rand"]["mean over photometry"]["M"]["p"] is None
    assert told["neighbours"] == {
        "mean over plain photo": {"gain": 0.0, "interval": [0.0, 0.0], "p": None, "seeds": 3}
    }


def test_contrast_searches_are_tested_against_chance_and_other_vectors(space):
    """In `far` two kinds stand opposite; in `near` all lie together, the kinds mixed."""
    rng = np.random.default_rng(0)
    kind = np.tile([0, 1], 150)
    angle = rng.uniform(0, 0.1, 300)
    near = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    far = np.stack([np.where(kind, -1.0, 1.0), np.zeros(300)], 1).astype(np.float32)
    columns = {"true_label": np.array(["ROT", "M"])[kind].tolist(), "subtype": [""] * 300}
    objects = types.SimpleNamespace(columns=pa.table(columns))
    told = space.contrasts({"near": near, "far": far}, objects)
    found = told["near - far"]
    assert found["other"] > 0.99 and found["near"] > 0.99 and found["far"] == pytest.approx(-1)
    assert 0.4 < found["any"] < 0.6 and found["excess"] == found["other"] - found["any"]
    assert told["far - near"]["other"] == 0.0  # the ten nearest are all of the query's kind

    rows = [{"vectors": {"a - b": {"other": o, "any": 0.2, "excess": o - 0.2}},
             "plain": {"a - b": {"other": 0.3, "any": 0.2, "excess": 0.1}}}
            for o in (0.5, 0.6, 0.7)]  # fmt: skip
    each = [{**{name: {} for name in space.TESTED}, "contrast": row} for row in rows]
    told = space.compared(each)
    pair = told["contrast"]["vectors over plain"]["a - b"]
    assert set(pair) == {"excess"} and pair["excess"]["gain"] == pytest.approx(0.3)
    chance = told["contrast, first hit over any of ten"]
    assert chance["vectors"]["a - b"]["gain"] == pytest.approx(0.4)
    assert chance["vectors"]["a - b"]["p"] == pytest.approx(0.0202, abs=1e-3)


def test_counts_are_not_tested(space):
    row = {"found": 3, "labels": {"recall": 0.2, "planted": 4}}
    assert set(space.gains([row, row], [row, row])) == {"labels"}
    assert set(space.gains([row, row], [row, row])["labels"]) == {"recall"}


def test_tables_gather_what_is_finished(tmp_path):
    """Numbers made up for the test, of three seeds; one cell lacks a seed."""
    scores = {"photo_sub10": {42: 0.5, 0: 0.6, 66: 0.4}, "photo_sub10_clip": {42: 0.7, 0: 0.7}}
    for name, values in scores.items():
        for seed, value in values.items():
            folder = tmp_path / "runs" / "small" / f"{name}_{seed}"
            folder.mkdir(parents=True)
            told = {"model": {"accuracy": value, "macro_f1": value / 2}}
            (folder / "summary.json").write_text(json.dumps(told))
    line = [sys.executable, str(FOLDER / "run.py"), "tables", f"--runs={tmp_path / 'runs'}"]
    done = subprocess.run(
        [*line, f"--results={tmp_path}"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    row = json.loads((tmp_path / "labels.json").read_text())["photo"]["sub10"]["accuracy"]
    assert row["nothing"]["mean"] == pytest.approx(0.5) and len(row["space"]["values"]) == 2
    pair = row["paired"]["space over nothing"]
    assert pair["seeds"] == 2 and pair["gain"] == pytest.approx(0.15)
    assert (tmp_path / "labels.png").stat().st_size > 1000
