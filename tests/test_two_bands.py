"""Light curves in two bands from raw parts: a space of four modalities, classifiers, what follows.

The second band is chosen by `config.data.band=V,g` and the variants `four` and `second` alone.
"""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from ml_collections import ConfigDict
from tiny import ROOT
from tiny_objects import CLASSES, words, write_two_bands

import astro_jax
from astro_jax.errors import UserError
from astro_jax.main import main
from astro_jax.multimodal_source import check_bands

pytestmark = pytest.mark.usefixtures("hastily")
FOUR = {"metadata", "photometry", "photometry_g", "spectrum"}
BOTH = "--config.data.band=V,g"


def line(name, *more):
    """Return the words of a small job on the variant of a config."""
    stem, colon, variant = name.partition(":")
    small = [] if stem == "predict" else words(name)
    return ["main", f"--config={ROOT}/configs/{stem}.py{colon}{variant}", *small, *more]


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """Return the words that name the files of a small survey in V and g."""
    return write_two_bands(tmp_path_factory.mktemp("survey"))


@pytest.fixture(scope="module")
def space(tmp_path_factory, survey, hastily):
    """Return the folder of a tiny space of four modalities."""
    workdir = tmp_path_factory.mktemp("four") / "clip"
    more = [*survey, BOTH, "--config.data.required=()", f"--workdir={workdir}"]
    assert main(line("pretrain_astrom3:four", *more)) == 0
    return workdir


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, survey, space, hastily):
    """Return the folder of a classifier of all four that starts from the space."""
    workdir = tmp_path_factory.mktemp("four") / "clf"
    more = [*survey, BOTH, "--config.data.required=()", f"--workdir={workdir}"]
    assert main(line("classify_astrom3:four_clip", f"--config.init={space}", *more)) == 0
    return workdir


def read(run, survey, **more):
    """Return the objects of the survey as a run knows them, and the account."""
    paths = dict(word.removeprefix("--config.data.").split("=") for word in survey)
    return astro_jax.read_objects(run, **{**paths, "band": "V,g", **more})


def test_a_space_of_four_is_trained_and_what_is_lacking_is_told(space):
    run = astro_jax.load(space)
    assert set(run.config.modalities) == FOUR and len(run.config.statistics.photometry_g) == 4
    assert {"towers_photometry_g", "logit_scale_photometry_photometry_g"} <= set(run.params)
    summary = json.loads((space / "summary.json").read_text())
    assert sum(summary["objects"].values()) == 40
    assert "photometry_g to spectrum" in summary["matching"] and set(summary["frozen"]) == FOUR


def test_objects_are_read_for_a_run_and_encoded_in_either_band(space, survey, caplog):
    run = astro_jax.load(space)
    objects, ledger = read(run, survey)
    assert set(objects.parts) == FOUR and len(objects) == ledger.kept.objects == 40
    assert "8 of 40 objects have no light curve in g (photometry_g)" in ledger.notes
    assert "1 of 40 objects have no light curve in V (photometry)" in ledger.notes
    vectors = {name: astro_jax.encode(run, objects, modality=name) for name in FOUR}
    for name, rows in vectors.items():
        there = np.isfinite(rows).all(1)
        np.testing.assert_array_equal(there, objects.present[name])
    both = objects.present["photometry"] & objects.present["photometry_g"]
    assert np.abs(vectors["photometry"] - vectors["photometry_g"])[both].max() > 0.01
    # a file of one band goes to the tower of that band, in whatever order and company
    order = {objects.columns["id"][k].as_py(): k for k in range(40)}
    for band, name in (("g", "photometry_g"), ("g,V", "photometry_g"), ("V", "photometry")):
        few, _ = read(run, survey, band=band, spectra="", catalogue="")
        rows = [order[name] for name in few.columns["id"].to_pylist()]
        assert np.array_equal(few.present[name], objects.present[name][rows])
        same = few.parts[name].values[:, :3]  # the constants are of the curve, not the catalogue
        whole = objects.parts[name].take(np.array(rows)).values[:, :3]
        np.testing.assert_array_equal(same, whole)
    with pytest.raises(UserError, match="no band 'r'; bands are V, g"):
        read(run, survey, band="V,r")


def test_a_classifier_of_four_starts_from_the_space(space, classifier):
    base, run = astro_jax.load(space), astro_jax.load(classifier)
    assert run.config.statistics.to_dict() == base.config.statistics.to_dict()
    for tower in ("towers_photometry", "towers_photometry_g"):
        ours, theirs = (p[tower]["block_0"]["dense_1"]["kernel"]
                        for p in (run.params["encoder"], base.params))  # fmt: skip
        np.testing.assert_allclose(ours, theirs, atol=5e-4)
    summary = json.loads((classifier / "summary.json").read_text())
    assert summary["classes"] == CLASSES[:2] and "photometry_g" in summary
    assert len([name for name in summary if " + " in name]) == 6 + 4


def test_predictions_say_which_bands_they_were_made_from(classifier, survey, tmp_path, capsys):
    output = tmp_path / "p.parquet"
    more = [f"--config.init={classifier}", f"--config.output={output}"]
    assert main(line("predict", *more, *survey, BOTH)) == 0
    assert "made from metadata 40, photometry 39, photometry_g 32, spectrum 39" in (
        capsys.readouterr().out
    )
    table = pq.read_table(output)
    run = astro_jax.load(classifier)
    objects, _ = read(run, survey)
    record = astro_jax.predict(run, objects)
    assert table["id"].to_pylist() == record.id and table["prediction"].to_pylist() == (
        record.prediction
    )
    assert table["used_photometry_g"].to_pylist() == objects.present["photometry_g"].tolist()
    told = table[f"prob_{CLASSES[0]}"].to_numpy()
    np.testing.assert_allclose(told, record.probabilities[:, 0], atol=1e-6)
    without = astro_jax.predict(run, objects.without("photometry_g")).probabilities
    changed = np.abs(without - record.probabilities).max(1) > 1e-7
    np.testing.assert_array_equal(changed, objects.present["photometry_g"])
    assert main(line("predict", *more, survey[0], "--config.data.band=g")) == 0
    assert "made from photometry_g 32" in capsys.readouterr().out


def test_the_second_band_alone(space, survey, tmp_path, capsys):
    workdir, start = tmp_path / "second", f"--config.init={space}"
    more = [*survey, BOTH, f"--workdir={workdir}"]
    assert main(line("classify_astrom3:second_clip", start, *more)) == 0
    run = astro_jax.load(workdir)
    tower = astro_jax.load(space).params["towers_photometry_g"]["block_0"]["dense_1"]["kernel"]
    np.testing.assert_allclose(
        run.params["encoder"]["block_0"]["dense_1"]["kernel"], tower, atol=5e-4
    )
    objects, _ = read(run, survey)
    record = astro_jax.predict(run, objects)
    assert set(record.used) == {"photometry_g"}
    some = np.isfinite(record.probabilities).all(1)
    np.testing.assert_array_equal(some, objects.present["photometry_g"])
    start = f"--config.init={workdir}"
    more = [*survey, BOTH, f"--workdir={tmp_path / 'first'}"]
    assert main(line("classify_astrom3:photo_clip", start, *more)) == 1
    assert "has no tower of photometry" in capsys.readouterr().err


def test_a_space_of_four_is_explored(classifier, survey, tmp_path):
    more = [*survey, BOTH, "--config.data.required=()", f"--workdir={tmp_path}"]
    assert main(line("explore", f"--config.init={classifier}", *more)) == 0
    found = pq.read_table(tmp_path / "search.parquet").to_pylist()
    assert {(r["from"], r["to"]) for r in found} == {(a, b) for a in FOUR for b in FOUR}
    outliers = pq.read_table(tmp_path / "outliers.parquet").column_names
    assert "distance_photometry_g" in outliers
    importance = pq.read_table(tmp_path / "importance.parquet").column_names
    assert "lost_without_photometry_g" in importance
    assert "photometry_g" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("name", "band", "told"),
    [
        ("pretrain_astrom3", "V,g", "the data have photometry_g .*band=V,g.*, the model has meta"),
        ("classify_astrom3:all", "V,g", "the data have photometry_g .*, the model has metadata, p"),
        ("pretrain_astrom3:four", "V", "config.model has photometry_g, the data have .*band=V"),
        ("classify_astrom3:four", "V", "config.model has photometry_g, the data have .*band=V"),
        ("classify_astrom3:second", "V", "config.model has photometry_g, the data have .*band=V"),
        ("pretrain_astrom3:four", "V,r", "no band 'r'; bands are V, g"),
        ("pretrain_astrom3:four", "V,V", "config.data.band=V,V has 'V' twice"),
        ("pretrain_astrom3:four", "", "several rows an id .*choose config.data.band"),
    ],
)
def test_bands_that_do_not_fit_the_model_are_refused(name, band, told, survey, tmp_path, capsys):
    assert main(line(name, *survey, f"--config.data.band={band}", f"--workdir={tmp_path}")) == 1
    assert re.search(told, capsys.readouterr().err)


def test_a_band_needs_light_curves_to_choose_from(classifier, tmp_path, capsys):
    assert main(line("pretrain_astrom3:four", BOTH, f"--workdir={tmp_path}")) == 1
    assert (
        "band=V,g chooses among the light curves of config.data.curves" in capsys.readouterr().err
    )
    more = [f"--config.init={classifier}", f"--config.output={tmp_path}/p.parquet", BOTH]
    assert main(line("predict", *more)) == 1
    assert "chooses among the light curves" in capsys.readouterr().err


def test_a_model_and_the_run_before_it_must_have_the_same_bands():
    data = ConfigDict({"path": "", "curves": "x", "spectra": "", "catalogue": "", "band": "V,g"})
    four, three = sorted(FOUR), sorted(FOUR - {"photometry_g"})
    for there, wanted, known in ((four, four, ()), (four, four, four), (three, three, four),
                                 (four, ["photometry"], four), (four, ["spectrum"], ()),
                                 (three, (), four)):  # fmt: skip
        check_bands(data, there, wanted, known)
    told = "config.model has photometry_g, the run at config.init has metadata, photometry, spec"
    for there, wanted, known, message in (
        (four, four, three, told),
        (four, ["photometry_g"], three, told),
        (four, three, four, r"the data have photometry_g \(config.data.band=V,g\), the model has"),
        (four, ["photometry"], three, "the data have photometry_g"),
        (four, (), three, "the data have photometry_g"),
        (three, four, four, "config.model has photometry_g, the data have metadata, photometry"),
    ):
        with pytest.raises(UserError, match=message):
            check_bands(data, there, wanted, known)
