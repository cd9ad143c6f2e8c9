"""From a survey with labels to the parts of a training: every row is accounted for."""

import logging

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from tiny import config_of, labelled_survey

from astro_jax.checks import check_head
from astro_jax.data.split import star_position
from astro_jax.data.table import to_table, write_table
from astro_jax.errors import UserError
from astro_jax.supervised import (
    class_task,
    encoder_of_init,
    few_parts,
    keep_facts,
    labelled,
    resolve_config,
    seen_stars,
    star_numbers,
    target_values,
    value_task,
)
from astro_jax.weights import load, save_safetensors
from astro_jax.workdir import read_json


def job(name, path, finished, **data):
    """Return the config of a job on a table, without features."""
    config = config_of(name)
    config.init, config.data.path = str(finished), str(path)
    if "min_class" in config.data:
        config.data.min_class = 10
    config.data.update(data)
    return config


def relabelled(path, labels, name="label", **columns):
    """Write the survey with other labels."""
    survey = labelled_survey()
    table = survey.columns.drop_columns(["label"])
    if labels is not None:
        table = table.append_column(name, pa.array(labels))
    for key, values in columns.items():
        table = table.append_column(key, pa.array(values))
    write_table(survey.with_columns(table), str(path))
    return path


def balance(ledger):
    assert ledger.read == tuple(
        sum(part) for part in zip(ledger.kept, ledger.filtered, ledger.quarantined, strict=True)
    )
    return {drop.reason: drop.objects for drop in ledger.drops}


def stars(curves):
    return set(curves.star.tolist())


# Classes


def test_rows_without_a_class_are_named_and_counted(labelled, finished):
    task = class_task(job("classify:mlp_att", labelled, finished))
    assert balance(task.ledger) == {"no label": 2, "label 'rare': fewer than 10 objects": 3}
    assert task.ledger.kept.objects == sum(len(part) for part in task[:3]) == 150
    assert "left out: no label 2 (no label), rare 3 (fewer than 10 objects)" in task.ledger.notes
    assert task.facts["classes"] == ["fast", "flat", "slow"]
    assert task.facts["model"]["head"]["classes"] == 3
    for part in task[:3]:
        names = part.columns["label"].to_pylist()
        assert [task.facts["classes"][c] for c in part.arrays["label"]] == names


def test_many_small_classes_are_all_named(tmp_path, finished):
    labels = ["a"] * 60 + ["b"] * 60 + [f"small{k % 12}" for k in range(35)]
    path = relabelled(tmp_path / "x.parquet", labels)
    ledger = class_task(job("classify:mlp_att", path, finished)).ledger
    assert len(balance(ledger)) == 12 and ledger.filtered.objects == 35
    assert all(f"small{k} " in ledger.summary() for k in range(12))


def test_no_test_star_trains_and_all_are_held_out(labelled, finished):
    config = job("classify:mlp_att", labelled, finished)
    for config.per_class, config.seed in ((0, 0), (10, 1)):
        task = class_task(config)
        parts = [stars(part) for part in task[:3]]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
        assert (star_position(task.test.star) >= 0.8).all() and len(task.test) >= 15
    assert [len(part) for part in task[:2]] == [24, 6]
    assert stars(task.train) != stars(class_task(job("classify:mlp_att", labelled, finished)).train)


def test_fine_tuning_sees_the_curves_of_the_fold(labelled, finished):
    config = job("classify:mlp_att", labelled, finished)
    tune = job("finetune", labelled, finished)
    for seed in (0, 3):
        config.per_class = tune.per_class = 10
        config.seed = tune.seed = seed
        task, parts = class_task(config), few_parts(tune)
        for ours, theirs in zip(parts[:3], task[:3], strict=True):
            assert ours.columns.equals(theirs.columns) and not ours.arrays
            assert ours.mag.tobytes() == theirs.mag.tobytes()
        assert balance(parts.ledger) == balance(task.ledger)


def test_a_label_map_merges_and_what_it_drops_is_accounted_for(tmp_path, finished):
    codes = ["1"] * 50 + ["6"] * 20 + ["7"] * 20 + ["9"] * 15 + ["3"] * 20 + ["5"] * 7 + ["?"] * 5
    codes += [None] * 18
    path = relabelled(tmp_path / "x.parquet", codes)
    task = class_task(job("classify:mlp_att", path, finished, label_map="macho"))
    assert task.facts["classes"] == ["LPV", "RRab"]
    assert balance(task.ledger) == {
        "no label": 18,
        "label '3': RRe: left out by the paper": 20,
        "label '?': not in the label map": 5,
        "label 'Cep_1': fewer than 10 objects": 7,
    }
    assert task.ledger.kept.objects == sum(len(part) for part in task[:3]) == 105
    without = job("classify:mlp_att", path, finished, label_map="macho", without=("LPV",))
    without.data.min_class = 5
    ledger = labelled(without)[2]
    assert balance(ledger)["label 'LPV': left out by name"] == 55


def test_a_class_left_out_as_unknown_and_as_small_is_counted_once_each(tmp_path, finished):
    codes = ["1"] * 70 + ["10"] * 72 + ["6"] * 7 + ["LPV"] * 6  # "LPV" is no catalogue class
    config = job(
        "classify:mlp_att", relabelled(tmp_path / "x.parquet", codes), finished, label_map="macho"
    )
    assert balance(labelled(config)[2]) == {
        "label 'LPV': not in the label map": 6,
        "label 'LPV': fewer than 10 objects": 7,
    }


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_the_label_column_may_have_any_name(tmp_path, finished, kind):
    """Readers call columns such as `class` by one name, `label`."""
    truth = labelled_survey().columns["label"].to_pylist()
    for name in ("class", "kind_of_star"):
        path = relabelled(tmp_path / "x.parquet", truth, name)
        if kind == "csv":
            table = pq.read_table(path)
            rows = np.repeat(np.arange(table.num_rows), 40)
            long = table.select(["id", name]).take(pa.array(rows))
            for list_name in ("time", "mag"):
                long = long.append_column(
                    list_name, pa.array(table[list_name].combine_chunks().flatten())
                )
            path = tmp_path / "x.csv"
            pyarrow.csv.write_csv(long.rename_columns(["id", name, "mjd", "mag"]), path)
        task = class_task(job("classify:mlp_att", path, finished, label=name))
        assert task.facts["classes"] == ["fast", "flat", "slow"]
        assert task.ledger.kept.objects == 150


def test_the_named_column_wins_over_one_that_is_called_label(tmp_path, finished):
    other = ["x", "y"] * 77 + ["x"]
    truth = labelled_survey().columns["label"].to_pylist()
    path = relabelled(tmp_path / "x.parquet", truth, label_2=other)
    config = job("classify:mlp_att", path, finished, label="label_2")
    assert class_task(config).facts["classes"] == ["x", "y"]


@pytest.mark.parametrize(
    ("labels", "data", "message"),
    [
        (None, {}, "no column 'label'"),
        (["a", "b"] * 77 + ["a"], {"label": "lable"}, "no column 'lable'.*did you mean 'label'"),
        ([None] * 155, {}, "no label: all 155 rows"),
        (["a"] * 155, {}, "two classes.*only class 'a'"),
        (["a"] * 150 + ["b"] * 5, {}, r"only class 'a'.*\(objects: a 150, b 5\)"),
        (["a", "b"] * 77 + ["a"], {"without": ("c",)}, "no object has label 'c'"),
        (["a", "b"] * 77 + ["a"], {"label_map": "mach"}, "'mach'.*did you mean 'macho'"),
        (["a", "b"] * 77 + ["a"], {"label_map": "macho"}, "no class has 10 objects"),
    ],
)
def test_labels_that_cannot_be_used_are_errors(tmp_path, finished, labels, data, message):
    path = relabelled(tmp_path / "x.parquet", labels)
    with pytest.raises(UserError, match=message):
        class_task(job("classify:mlp_att", path, finished, **data))


def test_errors_name_the_column_as_the_user_does(tmp_path, finished):
    path = relabelled(tmp_path / "x.parquet", ["a"] * 155, "kind")
    with pytest.raises(UserError, match=r"x.parquet \(config.data.label=kind\).*column 'kind'"):
        class_task(job("classify:mlp_att", path, finished, label="kind"))


def test_classes_that_are_too_small_are_named_in_a_warning(labelled, finished, caplog):
    with caplog.at_level(logging.WARNING):
        class_task(job("classify:mlp_att", labelled, finished))
    assert "class 'rare' is left out: fewer than 10 objects (config.data.min_class)" in caplog.text


def knowing(run, path, star):
    """Write a run that says it learned from these stars; return its path as text."""
    run.config.seen = star_numbers(star).tolist()
    save_safetensors(run, path)
    return str(path)


def test_a_start_that_saw_test_stars_is_refused(labelled, classified, tmp_path):
    config = job("classify:mlp_att", labelled, classified)
    config.per_class = 20
    task = class_task(config)
    assert read_json(classified / "task.json")["seen"] == load(classified).config.seen
    config.init = knowing(load(classified), tmp_path / "a.safetensors", task.train.star)
    assert task.facts["seen"] != class_task(config).facts["seen"] == load(config.init).config.seen
    config.init = knowing(load(classified), tmp_path / "b.safetensors", task.test.star[:2])
    said = f"was trained on 2 of the {len(task.test)} stars of .*survey.parquet that this run would"
    with pytest.raises(UserError, match=said):
        class_task(config)
    told = job("regress:mlp_att", labelled, config.init, target="period")
    with pytest.raises(UserError, match=r"was trained on [12] of the \d+ stars"):
        value_task(told)


def test_only_stars_that_a_fold_may_test_are_kept_and_a_chain_keeps_all(labelled, tmp_path):
    survey = labelled_survey()
    above = star_position(survey.star) >= 0.8
    config = job("finetune", labelled, "")
    assert seen_stars(config, survey.take(~above), survey.take(~above), survey.take(above)) == []
    half = np.flatnonzero(above)[::2]
    rest = np.flatnonzero(above)[1::2]
    first = seen_stars(config, survey.take(half), survey.take(half[:1]), survey.take(rest))
    assert first == star_numbers(survey.star[half]).tolist()
    assert len(first) == len(half)
    config.init = knowing(load("base"), tmp_path / "tuned.safetensors", survey.star[half])
    later = seen_stars(config, survey.take(rest[:2]), survey.take(~above), survey.take(rest[2:]))
    assert later == sorted({*first, *star_numbers(survey.star[rest[:2]]).tolist()})
    with pytest.raises(UserError, match=f"1 of the {len(rest) + 1} stars"):
        part = survey.take(np.concatenate([rest, half[:1]]))
        seen_stars(config, survey.take(~above), survey.take(~above), part)
    config.data.path = ""  # simulated: the names are those of every simulation
    assert seen_stars(config, survey.take(rest), survey.take(rest), survey.take(above)) == first
    config.init = ""
    assert seen_stars(config, survey.take(half), survey.take(half), survey.take(above)) == []


def test_a_class_with_the_name_of_a_number_can_be_left_out(tmp_path, finished):
    path = relabelled(tmp_path / "x.parquet", [1, 2, 3] * 51 + [1, 2])
    with_three = job("classify:mlp_att", path, finished)
    assert class_task(with_three).facts["classes"] == ["1", "2", "3"]
    with_three.data.without = (2,)
    assert class_task(with_three).facts["classes"] == ["1", "3"]


def test_an_encoder_of_its_own_takes_no_init(labelled, finished):
    config = job("classify:mlp_att_untrained", labelled, finished)
    with pytest.raises(UserError, match="has an encoder of its own"):
        check_head(config)
    config.init = ""
    check_head(config)


def test_a_budget_that_is_not_there_warns_and_one_below_5_is_an_error(labelled, finished, caplog):
    config = job("classify:mlp_att", labelled, finished)
    config.per_class = 45
    with caplog.at_level(logging.WARNING):
        task = class_task(config)
    for name, code in (("fast", 0), ("flat", 1), ("slow", 2)):
        left = sum(int((part.arrays["label"] == code).sum()) for part in task[:2])
        assert left < 45 and f"class '{name}' has only {left} labels of 45" in caplog.text
    config.per_class = 4
    with pytest.raises(UserError, match=r"per_class=4: give at least 5, or 0 \(in Python None\)"):
        class_task(config)
    config.per_class, config.data.min_class = 0, 3
    with pytest.raises(UserError, match="class 'rare' has [123] labels.*config.data.min_class"):
        class_task(config)


def test_classes_without_a_held_out_star_are_an_error(tmp_path, finished):
    survey = labelled_survey()
    write_table(survey.take(star_position(survey.star) < 0.8), str(tmp_path / "x.parquet"))
    with pytest.raises(UserError, match=r"x.parquet \(config.data.label=label\): no test object"):
        class_task(job("classify:mlp_att", tmp_path / "x.parquet", finished))


def test_features_are_scaled_by_the_training_curves(labelled, finished):
    config = job("classify:fusion", labelled, finished)
    config.per_class = 10
    task = class_task(config)
    train = task.train.arrays["features"]
    varies = train.std(0) > 0
    assert varies.sum() > 30 and np.abs(np.median(train, axis=0)).max() < 1e-6
    assert [part.arrays["features"].shape for part in task[:3]] == [
        (len(part), train.shape[1]) for part in task[:3]
    ]
    assert set(task.facts["scales"]) == {"features"}
    assert np.abs(np.median(task.test.arrays["features"], axis=0)[varies]).max() > 1e-3


# Values


def test_the_target_is_the_column_or_its_logarithm(labelled, finished):
    task = value_task(job("regress:mlp_att", labelled, finished, target="log_period"))
    reasons = balance(task.ledger)
    assert list(reasons) == ["no usable log_period"] and reasons["no usable log_period"] == 50
    assert task.ledger.kept.objects == sum(len(part) for part in task[:3]) == 105
    for part in task[:3]:
        period = np.array(part.columns["period"].to_pylist())
        np.testing.assert_allclose(part.arrays["target"], np.log10(period), rtol=1e-6)
    values = task.train.arrays["target"].astype(float)
    assert task.facts["mean"] == pytest.approx(values.mean())
    assert task.facts["std"] == pytest.approx(values.std())
    position = [star_position(part.star) for part in task[:3]]
    assert position[0].max() < 0.65 <= position[1].min() < 0.8 <= position[2].min()
    config = resolve_config(job("regress:mlp_att", labelled, finished), task.facts)
    assert (config.objective.mean, config.objective.std) == (task.facts["mean"], task.facts["std"])


def test_values_that_are_none_are_unknown():
    survey = labelled_survey(1)
    columns = pa.table({"id": range(8), "x": [1.0, None, np.nan, np.inf, -1.0, 0.0, 10.0, 100.0]})
    survey = survey.with_columns(columns)
    assert np.isfinite(target_values(survey, "x")).sum() == 5
    log = target_values(survey, "log_x")
    assert np.isfinite(log).tolist() == [True] + [False] * 5 + [True] * 2
    np.testing.assert_allclose(log[-2:], [1.0, 2.0])
    both = survey.with_columns(columns.append_column("log_x", pa.array(np.arange(8.0))))
    np.testing.assert_array_equal(target_values(both, "log_x"), np.arange(8.0))


@pytest.mark.parametrize(
    ("columns", "target", "message"),
    [
        ({}, "log_perod", "no column 'perod' for config.data.target.*did you mean 'period'"),
        ({"x": ["a"] * 155}, "x", "column 'x' holds no numbers"),
        ({"x": [None] * 150 + [1.0] * 5}, "x", "5 objects have a usable x: 10 needed"),
    ],
)
def test_a_target_that_cannot_be_used_is_an_error(tmp_path, finished, columns, target, message):
    path = relabelled(tmp_path / "x.parquet", None, **columns)
    with pytest.raises(UserError, match=message):
        value_task(job("regress:mlp_att", path, finished, target=target))


def test_a_part_without_a_star_is_an_error(tmp_path, finished):
    survey = labelled_survey()
    write_table(survey.take(star_position(survey.star) < 0.8), str(tmp_path / "x.parquet"))
    with pytest.raises(UserError, match="0 to test"):
        value_task(job("regress:mlp_att", tmp_path / "x.parquet", finished))


# Models and folders


def test_the_encoder_is_that_of_init(classified, finished):
    config = config_of("classify:mlp_att")
    config.init = ""
    with pytest.raises(UserError, match="--config.init=RUN"):
        encoder_of_init(config)
    config.init = str(finished)
    plain = encoder_of_init(config)
    assert plain["width"] == 16 and plain["target"].endswith(":Smoother")
    config.init = str(classified)
    assert encoder_of_init(config) == plain


def test_a_folder_of_other_data_is_refused(tmp_path):
    keep_facts(tmp_path, {"classes": ["a", "b"], "model": {"x": (1, 2)}})
    (tmp_path / "checkpoints").mkdir()
    keep_facts(tmp_path, {"classes": ["a", "b"], "model": {"x": (1, 2)}})
    with pytest.raises(UserError, match="trained on other data"):
        keep_facts(tmp_path, {"classes": ["a", "c"], "model": {"x": (1, 2)}})
    assert read_json(tmp_path / "task.json")["classes"] == ["a", "b"]


def test_bands_of_a_star_stay_together(tmp_path, finished):
    table = to_table(labelled_survey())
    pair = pa.concat_tables(
        [table.append_column("band", pa.array([b] * table.num_rows)) for b in ("V", "I")]
    )
    pq.write_table(pair, tmp_path / "x.parquet")
    config = job("classify:mlp_att", tmp_path / "x.parquet", finished)
    config.per_class = 10
    task = class_task(config)
    assert [len(part) for part in task[:2]] == [48, 12]
    assert all(len(stars(part)) * 2 == len(part) for part in task[:3])
