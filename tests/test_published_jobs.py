"""The configs of AstroM3 on a folder in the published layout, unchanged."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import ROOT
from tiny_objects import CLASSES, published_table, words

import astro_jax
from astro_jax.main import main
from astro_jax.multimodal_infer import modality_importance
from astro_jax.surveys.astrom3 import read_published

pytestmark = pytest.mark.usefixtures("hastily")


def job(name, *more):
    """Run a config on small sizes; what is of the simulation is left out."""
    stem, colon, variant = name.partition(":")
    own = [word for word in words(name) if "simulate" not in word and "wavelengths" not in word]
    return main(["main", f"--config={ROOT}/configs/{stem}.py{colon}{variant}", *own, *more])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of three parts; ids differ between them."""
    place = tmp_path_factory.mktemp("published") / "full_42"
    place.mkdir()
    for k, (name, count) in enumerate((("train", 36), ("validation", 12), ("test", 12))):
        table = published_table(count, seed=k)
        ids = [f"{name}-{n}" for n in range(count)]
        table = table.set_column(table.column_names.index("id"), "id", [ids])
        pq.write_table(table, place / f"{name}-00000-of-00001.parquet")
    return place


@pytest.fixture(scope="module")
def space(folder, hastily):
    workdir = folder.parent / "clip"
    assert job("pretrain_astrom3", f"--config.data.path={folder}", f"--workdir={workdir}") == 0
    return workdir


@pytest.fixture(scope="module")
def classifier(folder, space, hastily):
    workdir = folder.parent / "all"
    line = [f"--config.init={space}", f"--config.data.path={folder}", f"--workdir={workdir}"]
    assert job("classify_astrom3:all_sub50_clip", *line) == 0
    return workdir


def test_a_classifier_is_trained_on_half_of_the_labels(classifier):
    summary = json.loads((classifier / "summary.json").read_text())
    assert summary["classes"] == CLASSES


def test_the_space_is_explored(folder, space, tmp_path):
    line = [f"--config.init={space}", f"--config.data.path={folder}", f"--workdir={tmp_path}"]
    other = pq.read_table(folder / "test-00000-of-00001.parquet")
    names = pa.array(["RRD", "LSP", None] * 4)
    other = other.set_column(other.column_names.index("label"), "label", names)
    pq.write_table(other, folder.parent / "other.parquet")
    assert job("explore", *line, f"--config.unseen={folder.parent / 'other.parquet'}") == 0
    shares = pq.read_table(tmp_path / "unseen.parquet").to_pandas().groupby("unseen")["share"]
    assert dict(shares.sum().round(6)) == {"RRD": 1.0, "LSP": 1.0}
    table = pq.read_table(tmp_path / "sub_clusters.parquet")
    assert table["bp_rp_standardised"].null_count == 0
    assert {"DSCT"} <= set(table["label"].to_pylist())


def test_a_classifier_tells_the_importance_of_modalities(folder, classifier, tmp_path):
    line = [f"--config.init={classifier}", f"--config.data.path={folder}", f"--workdir={tmp_path}"]
    assert job("explore", *line) == 0
    table = pq.read_table(tmp_path / "importance.parquet").to_pandas()
    assert list(table["class"]) == CLASSES and table["objects"].sum() == 12
    summary = json.loads((classifier / "summary.json").read_text())
    for row in table.to_dict("records"):
        whole = summary["model"]["classes"][row["class"]]["recall"]
        rest = summary["metadata + photometry"]["classes"][row["class"]]["recall"]
        assert row["recall"] == pytest.approx(whole)
        assert row["lost_without_spectrum"] == pytest.approx(whole - rest)
    assert "lost_without_spectrum" in (tmp_path / "report.html").read_text()


def test_importance_is_unknown_where_no_object_has_all_modalities(folder, classifier, tmp_path):
    place = tmp_path / "no_spectra"
    place.mkdir()
    for path in folder.glob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["spectra"]), place / path.name)
    line = [f"--config.init={classifier}", f"--config.data.path={place}", f"--workdir={tmp_path}"]
    assert job("explore", *line) == 0
    run, (objects,) = (
        astro_jax.load(classifier),
        read_published(next(place.glob("test*")))[0].values(),
    )
    absent = modality_importance(
        run, objects.without("spectrum")
    )  # as of raw parts without spectra
    for table in (pq.read_table(tmp_path / "importance.parquet"), absent):
        assert table["class"].to_pylist() == CLASSES and table["objects"].to_pylist() == [0] * 3
        assert all(table[name].null_count == 3 for name in table.column_names[2:])


def test_every_object_gets_a_prediction(folder, classifier, tmp_path):
    output = tmp_path / "pred.parquet"
    data = folder / "test-00000-of-00001.parquet"
    line = [f"--config.init={classifier}", f"--config.data.path={data}"]
    words = ["main", f"--config={ROOT}/configs/predict.py", *line, f"--config.output={output}"]
    assert main(words) == 0
    table = pq.read_table(output)
    assert table["id"].to_pylist() == [f"test-{n}" for n in range(12)]
    assert {f"prob_{name}" for name in CLASSES} <= set(table.column_names)


def test_what_is_missing_is_told_and_the_rest_is_used(folder, classifier, tmp_path, caplog):
    trained = astro_jax.load(classifier)
    table = pq.read_table(folder / "test-00000-of-00001.parquet").drop_columns(["spectra"])
    record = astro_jax.predict(trained, table)
    assert len(record.id) == 12 and np.isfinite(record.probabilities).all()
    assert "12 of 12 objects have no spectrum" in caplog.text
    broken = table.set_column(table.column_names.index("id"), "id", [["twice"] * 12])
    pq.write_table(broken, tmp_path / "new.parquet")
    assert astro_jax.predict(trained, tmp_path / "new.parquet").id == ["twice"]
    assert caplog.text.count("twice is left out: repeated id") == 11


def test_brightness_is_not_in_the_layout(folder, tmp_path, capsys):
    line = [f"--config.data.path={folder}", "--config.brightest=True", f"--workdir={tmp_path}"]
    assert job("classify_astrom3:meta_sub50", *line) == 1
    assert "mean_vmag" in capsys.readouterr().err


def test_the_commonest_classes_alone(folder, tmp_path):
    line = [f"--config.data.path={folder}", "--config.data.top=2", f"--workdir={tmp_path}"]
    assert job("classify_astrom3:meta", *line) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["classes"] == CLASSES[:2]
