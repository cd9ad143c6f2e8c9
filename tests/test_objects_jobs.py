"""Jobs on several modalities: a space, classifiers with and without it, data, learning rates."""

import json

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ml_collections import ConfigDict
from tiny import ROOT
from tiny_objects import words

import astro_jax
from astro_jax.control import Control, choose, plateau
from astro_jax.data.multimodal import hide
from astro_jax.data.simulate.trimodal import simulate_objects
from astro_jax.errors import UserError
from astro_jax.main import main
from astro_jax.multimodal_infer import class_probabilities, encode_all, encode_objects
from astro_jax.multimodal_source import load_parts, standardised
from astro_jax.optim import adam, scale_by_evaluation, warmup_by_epoch, with_scale
from astro_jax.summary import read_metrics
from astro_jax.surveys.spectra import read_spectra

pytestmark = pytest.mark.usefixtures("hastily")
PRETRAIN = f"--config={ROOT}/configs/pretrain_astrom3.py"
CLASSIFY = f"--config={ROOT}/configs/classify_astrom3.py"
COARSE = (3850.0, 9000.0, 9.0)


@pytest.fixture(scope="module")
def space(tmp_path_factory, hastily):
    """Return the folder of a tiny space of three modalities, some spectra missing."""
    workdir = tmp_path_factory.mktemp("space") / "clip"
    some = ["--config.data.simulate.spectra=0.5"]
    assert main(["main", PRETRAIN, f"--workdir={workdir}", *words("pretrain_astrom3"), *some]) == 0
    return workdir


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, space, hastily):
    workdir = tmp_path_factory.mktemp("space") / "all"
    line = [f"{CLASSIFY}:all_sub50_clip", f"--config.init={space}", f"--workdir={workdir}"]
    assert main(["main", *line, *words("classify_astrom3:all")]) == 0
    return workdir


def new_objects(run, count=30):
    """Return objects that the run never saw, standardised as its own."""
    objects = simulate_objects(count, seed=9, wavelengths=COARSE)
    return standardised(objects, run.config.statistics.to_dict())


def test_a_space_is_trained_and_reported(space):
    lines = read_metrics(space / "metrics.jsonl")
    assert [(line["step"], line["split"]) for line in lines] == [
        (1, "train"),
        (2, "train"),
        (2, "valid"),
    ]
    summary = json.loads((space / "summary.json").read_text())
    assert summary["objects"] == {"train": 48, "valid": 6, "test": 6}
    assert "photometry to spectrum" in summary["matching"]
    assert set(summary["frozen"]) == {"metadata", "photometry", "spectrum"}


def test_a_run_keeps_what_it_takes_to_encode(space):
    run = astro_jax.load(space)
    assert list(run.config.modalities) == ["metadata", "photometry", "spectrum"]
    assert run.config.rows.length == 32 and len(run.config.statistics.metadata) == 34
    objects = new_objects(run)
    vectors = encode_all(run, objects, batch_size=8)
    for name, rows in vectors.items():
        assert rows.shape == (30, 512)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, rtol=1e-5)
        np.testing.assert_allclose(encode_objects(run, objects, name, 30), rows, atol=1e-6)


def test_what_is_missing_has_no_vector(space):
    run = astro_jax.load(space)
    objects = hide(new_objects(run), "spectrum", np.arange(30) < 10)
    rows = encode_objects(run, objects, "spectrum")
    assert np.isfinite(rows[:10]).all() and np.isnan(rows[10:]).all()
    with pytest.raises(UserError, match="no modality 'spectra'.*spectrum"):
        encode_objects(run, objects, "spectra")
    with pytest.raises(UserError, match="objects lack 'spectrum'"):
        encode_objects(run, objects.without("spectrum"), "spectrum")


def test_a_classifier_starts_from_the_space_and_its_statistics(space, classifier):
    base, run = astro_jax.load(space), astro_jax.load(classifier)
    assert run.config.statistics.to_dict() == base.config.statistics.to_dict()
    fresh = base.params["towers_metadata"]["dense_1"]["kernel"]
    tuned = run.params["encoder"]["towers_metadata"]["dense_1"]["kernel"]
    # epoch 0 of the warm-up has 1e-5 of the learning rate
    np.testing.assert_allclose(tuned, fresh, atol=2e-4)
    summary = json.loads((classifier / "summary.json").read_text())
    assert summary["objects"]["train"] < 30 and summary["objects"]["test"] == 6
    table = pq.read_table(classifier / "test_predictions.parquet")
    assert table.num_rows == summary["model"]["objects"] <= 6  # of classes that are trained
    assert "prob_EW" in table.column_names


def test_any_subset_of_modalities_is_classified_and_reported(classifier):
    run = astro_jax.load(classifier)
    objects = new_objects(run)
    whole, used = class_probabilities(run, objects)
    np.testing.assert_allclose(whole.sum(1), 1.0)
    assert set(used) == {"metadata", "photometry", "spectrum"}
    few, used = class_probabilities(run, objects.without("spectrum"))
    assert set(used) == {"metadata", "photometry"} and np.abs(few - whole).max() > 0
    none = hide(objects.without("spectrum", "metadata"), "photometry", np.arange(30) > 0)
    alone, used = class_probabilities(run, none)
    assert np.isnan(alone[0]).all() and np.isfinite(alone[1:]).all() and not used["photometry"][0]


def test_the_seed_of_the_space_must_be_that_of_the_split(space, tmp_path, capsys):
    line = [f"{CLASSIFY}:all", f"--config.init={space}", "--config.seed=0"]
    assert main(["main", *line, *words("classify_astrom3:all"), f"--workdir={tmp_path}"]) == 1
    assert "seed 42" in capsys.readouterr().err


def test_the_size_of_the_simulation_must_be_that_of_the_split(space, tmp_path, capsys):
    line = [f"{CLASSIFY}:all", f"--config.init={space}", f"--workdir={tmp_path}"]
    more = "--config.data.simulate.stars=61"
    assert main(["main", *line, *words("classify_astrom3:all"), more]) == 1
    assert "give --config.data.simulate.stars=60" in capsys.readouterr().err


def test_one_tower_of_the_space(space, tmp_path):
    line = [f"{CLASSIFY}:photo_clip", f"--config.init={space}", f"--workdir={tmp_path}"]
    assert main(["main", *line, *words("classify_astrom3:photo")]) == 0
    run = astro_jax.load(tmp_path)
    tower = astro_jax.load(space).params["towers_photometry"]["block_0"]["dense_1"]["kernel"]
    ours = run.params["encoder"]["block_0"]["dense_1"]["kernel"]
    np.testing.assert_allclose(ours, tower, atol=1e-4)
    probabilities, used = class_probabilities(run, new_objects(run))
    assert set(used) == {"photometry"} and np.isfinite(probabilities).all()
    with pytest.raises(UserError, match="lack photometry"):
        class_probabilities(run, new_objects(run).without("photometry"))
    with pytest.raises(UserError, match="no shared space"):
        encode_objects(run, new_objects(run), "photometry")


def test_channels_of_another_kind_are_refused(space):
    run = astro_jax.load(space)
    official = simulate_objects(5, seed=9, rules="official", wavelengths=COARSE)
    with pytest.raises(UserError, match="has channels .*rfr_score.*trained with .*peak_to_peak"):
        encode_objects(run, official, "photometry")


# Data


def config(**changes):
    paths = dict.fromkeys(("path", "curves", "spectra", "catalogue", "band"), "")
    names = {"rules": "full", "wavelengths": COARSE, "required": (), "classes": (), "top": 0}
    names |= {"catalogue_id": "id", "spectra_link": ""}
    simulate = {"stars": 80, "spectra": 0.3, "bands": ("V",)}
    data = {**paths, **names, "label": "label", "simulate": simulate, **changes}
    return ConfigDict({"seed": 0, "data": data})


def test_required_modalities_are_accounted_for():
    parts = load_parts(config(required=("spectrum",)))
    kept = sum(len(part) for part in parts[:3])
    assert 8 < kept < 45 and parts.ledger.kept.objects == kept
    assert parts.ledger.filtered.objects == 80 - kept
    assert all(part.present["spectrum"].all() for part in parts[:3])
    with pytest.raises(UserError, match="no modality 'spectra'"):
        load_parts(config(required=("spectra",)))


def test_the_commonest_classes_are_kept_and_the_others_accounted_for():
    parts = load_parts(config(top=2))
    labels = [t for part in parts[:3] for t in part.columns["label"].to_pylist()]
    every = [t for part in load_parts(config())[:3] for t in part.columns["label"].to_pylist()]
    counts = sorted((-every.count(name), name) for name in set(every))
    assert set(labels) == {name for _, name in counts[:2]}
    assert len(labels) == -sum(count for count, _ in counts[:2]) == parts.ledger.kept.objects
    assert parts.ledger.filtered.objects == 80 - len(labels)


@pytest.mark.parametrize("top", [0, 2])
def test_no_object_to_train_on_is_told_before_labels_are_counted(top):
    simulate = {"stars": 40, "spectra": 0.0, "bands": ("V",)}
    with pytest.raises(UserError, match="no object to train: of 40 objects read, none is left"):
        load_parts(config(top=top, required=("spectrum",), simulate=simulate))


def test_statistics_come_from_the_training_part_or_are_given():
    parts = load_parts(config())
    values = parts.train.parts["metadata"].column("pmra")
    np.testing.assert_allclose([np.nanmean(values), np.nanstd(values)], [0, 1], atol=1e-4)
    told = {"metadata": {"pmra": [100.0, 2.0]}}
    again = load_parts(config(), told)
    assert again.statistics is told and again.train.parts["metadata"].column("pmra").mean() < -40


def test_raw_parts_are_read_by_their_paths(tmp_path, shared):
    path = shared / "data" / "spectra" / "lamost_lrs_sample.parquet"
    if not path.exists():
        pytest.skip(f"no {path}")
    parts = load_parts(config(spectra=str(path), label="sptype", required=("spectrum",)))
    assert sum(len(part) for part in parts[:3]) == parts.ledger.kept.objects > 100
    assert {"F", "K"} <= set(parts.train.columns["label"].to_pylist())


def test_spectra_files_find_their_sources_by_a_column_of_the_catalogue(tmp_path, shared):
    folder = shared / "data" / "raw_samples" / "lamost_fits"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    names = read_spectra(str(folder))[0].columns["id"].to_pylist()
    sources = [f"00{k}" for k in range(len(names))]  # text, although of digits
    rows = [f"{source},{name},1.5" for source, name in zip(sources, names, strict=True)]
    lines = ["source_id,obsid,bp_rp", *rows[:-1], "zz,no such,1.0"]
    (tmp_path / "catalogue.csv").write_text("\n".join(lines) + "\n")
    days = np.arange(40.0)
    curves = {"id": sources, "time": [days] * 15, "mag": [np.sin(days)] * 15}
    pq.write_table(pa.table(curves), tmp_path / "curves.parquet")
    files = {name: str(tmp_path / f"{name}.{end}") for name, end in
             (("curves", "parquet"), ("catalogue", "csv"))}  # fmt: skip
    told = {**files, "spectra": str(folder), "catalogue_id": "source_id"}
    parts = load_parts(config(**told, spectra_link="obsid"))
    every = {n: p.present[n].sum() for p in parts[:1] for n in p.parts}
    ids = [i for part in parts[:3] for i in part.columns["id"].to_pylist()]
    assert sorted(ids) == sorted([*sources, names[-1]])  # whose spectrum no row names
    assert sum(part.present["spectrum"].sum() for part in parts[:3]) == 15 and every["metadata"]
    joined = sum((p.present["spectrum"] & p.present["photometry"]).sum() for p in parts[:3])
    assert joined == 14
    assert f"spectra: {len(names)} rows read, {len(names)} used" in parts.ledger.notes
    assert [(row.file, row.object) for row in parts.ledger.rows] == [(files["catalogue"], "zz")]
    note = f"1 spectra are not named by 'obsid' of the catalogue: {names[-1]}"
    assert note in parts.ledger.notes
    with pytest.raises(UserError, match="has no column 'obs_id' .did you mean 'obsid'"):
        load_parts(config(**told, spectra_link="obs_id"))
    with pytest.raises(UserError, match="names none of the spectra"):
        load_parts(config(**told, spectra_link="bp_rp"))


def test_a_path_that_is_no_published_data_is_named(tmp_path):
    with pytest.raises(UserError, match="no file or folder of the published layout"):
        load_parts(config(path=str(tmp_path)))


# Rates that evaluation sets


def test_the_rate_falls_after_a_plateau_as_in_pytorch():
    control = Control()
    scales = []
    for value in (5.0, 4.0, 4.0, 3.99999, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 3.0, 3.0):
        control = plateau(control, value, factor=0.1, patience=3)
        scales.append(round(control.scale, 6))
    assert scales == [1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]


def test_the_step_to_use_may_be_chosen_by_another_metric():
    control = Control()
    for step, value in enumerate((0.3, 0.1, 0.2, 0.1)):
        control = choose(control, value, step)
    assert (control.chosen, control.chosen_step) == (0.1, 1)


def test_a_scale_multiplies_the_step():
    import optax

    params = {"a": np.ones(3, np.float32)}
    optimizer = optax.chain(adam(optax.constant_schedule(0.1)), scale_by_evaluation())
    state = optimizer.init(params)
    gradient = {"a": np.full(3, 2.0, np.float32)}
    whole, _ = optimizer.update(gradient, state, params)
    tenth, after = optimizer.update(gradient, with_scale(state, 0.1), params)
    np.testing.assert_allclose(tenth["a"], 0.1 * whole["a"], rtol=1e-6)
    assert jax.tree.structure(after) == jax.tree.structure(state)


def test_warm_up_goes_by_epochs():
    rate = warmup_by_epoch(2.0, every=5, epochs=10)
    values = [float(rate(step)) for step in (0, 4, 5, 25, 49, 50, 500)]
    np.testing.assert_allclose(values[:2], 2e-5)
    np.testing.assert_allclose(values[2:], [0.200018, 1.00001, 1.800002, 2.0, 2.0], rtol=1e-5)


def test_coupled_decay_is_what_pytorch_does():
    import optax

    params = {"a": np.array([3.0], np.float32)}
    optimizer = adam(optax.constant_schedule(0.1), l2=0.5)
    updates, _ = optimizer.update(
        {"a": np.array([0.0], np.float32)}, optimizer.init(params), params
    )
    np.testing.assert_allclose(updates["a"], [-0.1], rtol=1e-4)  # a step of Adam: its sign


def test_published_settings(shared):
    from astro_jax.data.astrom3_settings import settings

    path = shared / "parity" / "astrom3_configs.json"
    for name, expected in json.loads(path.read_text())["configs"].items():
        mode, subset, *clip = name.split("-")
        ours = settings(mode, subset, bool(clip))
        assert (ours.rate, ours.b1, ours.l2) == (
            expected["lr"], expected["beta1"], expected["weight_decay"]
        )  # fmt: skip
        assert ours.factor == expected["scheduler_factor"] and ours.epochs == expected["epochs"]
        assert ours.clip == (expected["clip_value"] if expected["clip_grad"] else 0)
        rates = [expected.get(f"{k}_dropout", 0) for k in "psm"]
        assert [ours.photometry, ours.spectrum, ours.metadata] == rates
    with pytest.raises(UserError, match="photo-sub5"):
        settings("photo", "sub5")


# Python


def published(objects):
    """Return objects as a table of the published layout."""
    photometry, spectrum = objects.parts["photometry"], objects.parts["spectrum"]
    rows = [part.tolist() for part in np.split(photometry.values, photometry.offsets[1:-1])]
    nested = pa.list_(pa.list_(pa.float32()))
    return pa.table(
        {
            "id": objects.columns["id"],
            "photometry": pa.array(rows, nested),
            "spectra": pa.array(spectrum.values.transpose(0, 2, 1).tolist(), nested),
            "metadata": pa.array(objects.parts["metadata"].values.tolist()),
        }
    )


def test_encode_and_predict_take_objects_and_tables(space, classifier, caplog):
    run, trained = astro_jax.load(space), astro_jax.load(classifier)
    objects = new_objects(run, 12)
    vectors = astro_jax.encode(run, objects, modality="spectrum")
    np.testing.assert_array_equal(vectors, encode_objects(run, objects, "spectrum"))
    hits = astro_jax.search(vectors[:3], vectors, k=4, own=np.arange(3))
    assert hits.row.shape == (3, 4) and (np.diff(hits.cosine) <= 0).all()
    record = astro_jax.predict(trained, objects.without("spectrum"))
    assert record.id[0] == "sim-000000" and record.prediction[0] in record.classes
    assert record.probabilities.shape == (12, len(record.classes))
    assert "12 of 12 objects have no spectrum" in caplog.text
    with pytest.raises(UserError, match="trained with .*peak_to_peak"):
        astro_jax.predict(trained, published(objects))  # of the released rules by its layout


PREDICT = f"--config={ROOT}/configs/predict.py"


def test_predict_writes_a_row_an_object(classifier, tmp_path, capsys):
    line = [PREDICT, f"--config.init={classifier}", f"--config.output={tmp_path}/p.parquet"]
    assert main(["main", *line, "--config.data.simulate.stars=20", "--config.seed=9"]) == 0
    assert "made from metadata 20, photometry 20, spectrum 20" in capsys.readouterr().out
    table = pq.read_table(tmp_path / "p.parquet")
    run = astro_jax.load(classifier)
    expected, _ = class_probabilities(run, new_objects(run, 20))
    names = [f"prob_{name}" for name in run.config.classes]
    told = np.stack([table[name].to_numpy() for name in names], axis=1)
    np.testing.assert_allclose(told, expected, atol=1e-6)
    assert table["prediction"].to_pylist() == [
        run.config.classes[k] for k in np.argmax(expected, axis=1)
    ]


def test_predict_joins_raw_parts_whichever_there_are(classifier, tmp_path, capsys):
    rng = np.random.default_rng(0)
    times = [np.sort(rng.uniform(0, 300, 40)) for _ in range(3)]
    mags = [12 + 0.3 * np.sin(t) for t in times]
    mags[2][:] = 12.0  # constant
    curves = {"id": ["a", "b", "flat"], "time": times, "mag": mags}
    pq.write_table(pa.table({k: pa.array(list(v)) for k, v in curves.items()}),
                   tmp_path / "curves.parquet")  # fmt: skip
    catalogue = {"id": ["a", "c"], "parallax": [1.0, 2.0], "phot_g_mean_mag": [12.0, 13.0]}
    pq.write_table(pa.table(catalogue), tmp_path / "catalogue.parquet")
    line = ["main", PREDICT, f"--config.init={classifier}", f"--config.output={tmp_path}/p.parquet"]
    both = [f"--config.data.{name}={tmp_path}/{name}.parquet" for name in ("curves", "catalogue")]
    assert main([*line, *both]) == 0
    told = {row["id"]: row for row in pq.read_table(tmp_path / "p.parquet").to_pylist()}
    assert set(told) == {"a", "b", "flat"} and told["flat"]["prediction"] is None
    assert told["a"]["used_metadata"] and not told["b"]["used_metadata"]
    assert "used_spectrum" not in told["a"] and np.isfinite(told["b"]["prob_EW"])
    assert "constant" in (tmp_path / "p.parquet.quarantine.csv").read_text()
    assert main([*line, both[1]]) == 0  # a catalogue alone
    alone = pq.read_table(tmp_path / "p.parquet").to_pylist()
    assert [row["id"] for row in alone] == ["a", "c"] and all(row["prediction"] for row in alone)


def test_predict_refuses_what_it_cannot_use(space, classifier, tmp_path, capsys):
    line = ["main", PREDICT, f"--config.output={tmp_path}/p.parquet"]
    assert main([*line, f"--config.init={space}"]) == 1
    assert "not trained with labels" in capsys.readouterr().err
    assert main([*line, f"--config.init={classifier}", f"--config.data.path={tmp_path}"]) == 1
    assert "no file or folder of the published layout" in capsys.readouterr().err


def test_a_dry_run_tells_the_cost_and_writes_nothing(space, tmp_path, capsys):
    line = ["main", f"{CLASSIFY}:spectra_clip", f"--config.init={space}", "--config.dry_run=True"]
    words_ = words("classify_astrom3:spectra")
    assert main([*line, *words_, f"--workdir={tmp_path}/none"]) == 0
    told = capsys.readouterr().out
    assert "parameters" in told and "48 train" in told and "for 2 steps" in told
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("word", ["batch_size=0", "steps=-1", "epochs=-2", "log_every=0"])
def test_numbers_that_cannot_be_are_refused(word, tmp_path, capsys):
    assert main(["main", f"{CLASSIFY}:meta", f"--config.{word}", f"--workdir={tmp_path}"]) == 1
    assert f"config.{word} must be at least" in capsys.readouterr().err


# Exploration


def test_a_space_is_explored(space, tmp_path):
    line = [f"--config={ROOT}/configs/explore.py", f"--config.init={space}"]
    assert main(["main", *line, *words("explore"), f"--workdir={tmp_path}"]) == 0
    names = ("search", "contrast", "outliers", "map", "doubtful", "sub_clusters", "mean_spectra",
             "unseen")  # fmt: skip
    tables = {name: pq.read_table(tmp_path / f"{name}.parquet") for name in names}
    assert (tmp_path / "quarantine.csv").read_text().startswith("file,object")
    assert tables["outliers"].num_rows == 48 and tables["map"].num_rows == 54
    found = tables["search"].to_pylist()
    assert {(r["from"], r["to"]) for r in found} >= {("photometry", "spectrum")}
    assert all(r["query"] != r["hit"] for r in found if r["from"] == r["to"])
    shares: dict = {}
    for row in tables["unseen"].to_pylist():
        shares[row["unseen"]] = shares.get(row["unseen"], 0.0) + row["share"]
    np.testing.assert_allclose(list(shares.values()), 1.0)
    page = (tmp_path / "report.html").read_text()
    assert page.count("Search: ") >= 9 and page.count("Contrast: alike") >= 6
    assert "cosine" in page and page.count("data:image/png;base64") >= 16
    agreed = tables["outliers"]["agreed"].to_pylist()
    assert (
        agreed == sorted(agreed, reverse=True)
        and len(set(tables["outliers"]["id"].to_pylist())) == 48
    )
    assert "://" not in page  # it needs nothing from elsewhere


def test_an_approximate_search_finds_the_same_in_a_small_space(space, tmp_path):
    pytest.importorskip("faiss")
    tables = []
    for kind in ("exact", "approximate"):
        line = [f"--config={ROOT}/configs/explore.py", f"--config.init={space}"]
        line += [*words("explore"), f"--config.search={kind}", f"--workdir={tmp_path / kind}"]
        assert main(["main", *line]) == 0
        tables.append(pq.read_table(tmp_path / kind / "search.parquet"))
    assert tables[0]["hit"].equals(tables[1]["hit"])


def test_exploring_needs_a_space(tmp_path, capsys):
    assert main(["main", f"--config={ROOT}/configs/explore.py", f"--workdir={tmp_path}"]) == 1
    assert "--config.init=RUN" in capsys.readouterr().err


@pytest.mark.parametrize("other", ["seed=3", "data.simulate.stars=50"])
def test_exploring_on_another_split_is_refused(other, space, tmp_path, capsys):
    line = [f"--config={ROOT}/configs/explore.py", f"--config.init={space}", *words("explore")]
    assert main(["main", *line, f"--config.{other}", f"--workdir={tmp_path / 'x'}"]) == 1
    assert "would have seen test objects" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
