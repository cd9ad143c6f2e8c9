"""Every config, in every variant, is built and run for two steps."""

import inspect
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tiny import ROOT, TINY, config_module, config_of
from tiny_objects import words as objects_words
from tiny_transients import NETWORK, SIMULATED, SMALL, transfer_words

from astro_jax.data.read import read_survey
from astro_jax.data.simulate import simulate_survey
from astro_jax.data.table import write_table
from astro_jax.main import main
from astro_jax.summary import read_metrics
from astro_jax.tree import flatten

pytestmark = pytest.mark.usefixtures("hastily")
CONFIGS = sorted((ROOT / "configs").glob("*.py"))
TWO_STEPS = [*TINY, "--config.steps=2", "--config.data.simulate.stars=20"]
ENCODER = [w.replace("model.", "model.encoder.") for w in TINY if ".model." in w]
# What makes no other program when it is shrunk: of variants that differ in nothing else, one runs.
ALIKE = ("data.path", "data.split", "model.width", "model.base", "steps", "eval_every")
ALIKE += ("optimizer.schedule.rate", "optimizer.schedule.steps")


def shrunk(name: str, finished: Path, labelled: Path) -> list[str]:
    """Return the words that make a training small; one on a pre-trained encoder starts from it."""
    if "astrom3" in name:
        return objects_words(name)
    if name.startswith("train_ztf"):
        return [*SMALL, *NETWORK, *SIMULATED, "--config.steps=2"]
    config = config_of(name)
    words = [w for w in TWO_STEPS if ".model." not in w or "width" in config.model]
    if name.startswith(("classify", "regress")):
        words += [f"--config.data.path={labelled}"]
    words += ["--config.per_class=10"] if name.startswith("classify") else []
    words += ENCODER if config.model.get("encoder") else []
    words += ["--config.data.path="] if config.data.path else []
    return [*words, *([f"--config.init={finished}"] if config.init else [])]


def training_variants() -> list[str]:
    names, kinds = [], set()
    for path in CONFIGS:
        module = config_module(path.stem)
        for variant in getattr(module, "VARIANTS", [""]):
            config = module.get_config(variant) if variant else module.get_config()
            grown = path.stem == "classify" and "Forest" in str(config.model.head)  # see test_grown
            told = flatten(json.loads(config.to_json()), ".")
            kind = str([path.stem, *((k, v) for k, v in told.items() if k not in ALIKE)])
            if "steps" in config and not grown and kind not in kinds:
                names.append(f"{path.stem}:{variant}" if variant else path.stem)
            kinds.add(kind)
    return names


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """Return a simulated survey as an object table."""
    path = tmp_path_factory.mktemp("survey") / "x.parquet"
    write_table(simulate_survey(6, seed=1), str(path))
    return path


def test_all_variants_are_found():
    names = training_variants()
    assert {"pretrain_macho", "pretrain_macho:official", "pretrain_macho:paper"} <= set(names)
    assert "pretrain_macho:astromer2" in names and len(names) == len(set(names))
    assert {"classify:fusion_untrained", "classify:skip_slow", "regress:mlp_att_trained"} <= set(
        names
    )
    assert not {"pretrain_macho:without_crts", "classify:lstm_1e-4"} & set(names)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_a_config_says_its_command_and_is_plain_data(path):
    module = config_module(path.stem)
    assert f"--config=configs/{path.name}" in inspect.getdoc(module)
    for variant in getattr(module, "VARIANTS", [""]):
        config = module.get_config(variant) if variant else module.get_config()
        assert json.loads(config.to_json())["job"].startswith("astro_jax.")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_training_configs_have_the_common_keys(path):
    config = config_module(path.stem).get_config()
    if "steps" in config:
        assert {"seed", "steps", "batch_size", "init", "data", "dry_run"} <= set(config.keys())
        assert config.init in ("", "base") and config.data.path == ""


@pytest.mark.parametrize("name", training_variants())
def test_two_steps(tmp_path, name, finished, labelled, transient_base, transient_file):
    stem, colon, variant = name.partition(":")
    words = [f"--config={ROOT / 'configs' / stem}.py{colon}{variant}"]
    if stem == "transfer_bts":
        words += transfer_words(config_of(name), transient_base, transient_file)
    else:
        words += shrunk(name, finished, labelled)
    assert main(["main", *words, f"--workdir={tmp_path}"]) == 0
    lines = read_metrics(tmp_path / "metrics.jsonl")
    if "Forest" in str(config_of(name).model.get("head", "")):  # grown, without a step
        assert [(line["step"], line["split"]) for line in lines] == [(0, "valid")]
        return
    assert [(line["step"], line["split"]) for line in lines] == [
        (1, "train"),
        (2, "train"),
        (2, "valid"),
    ]
    assert lines[0]["loss"] != lines[1]["loss"] and lines[1]["gradient_norm"] > 0


@pytest.mark.parametrize("mode", ["jit", "pmap", "sharded"])
def test_two_steps_in_every_mode(tmp_path, mode, finished):
    words = [f"--config={ROOT}/configs/pretrain_macho.py", *TINY, f"--config.mode={mode}"]
    assert main(["main", *words, f"--workdir={tmp_path}"]) == 0
    ours, theirs = (read_metrics(f / "metrics.jsonl") for f in (tmp_path, finished))
    assert [line["loss"] for line in ours] == pytest.approx([x["loss"] for x in theirs], abs=1e-5)


def test_training_goes_on_from_a_run(tmp_path, finished):
    words = [f"--config={ROOT}/configs/pretrain_macho.py", *TINY, f"--config.init={finished}"]
    assert main(["main", *words, f"--workdir={tmp_path}", "--config.steps=2"]) == 0
    first = read_metrics(tmp_path / "metrics.jsonl")[0]["loss"]
    assert first != read_metrics(finished / "metrics.jsonl")[0]["loss"]


def test_a_run_that_does_not_fit_is_refused(tmp_path, finished, capsys):
    words = [f"--config={ROOT}/configs/pretrain_macho.py", *TINY, f"--config.init={finished}"]
    assert main(["main", *words, f"--workdir={tmp_path}", "--config.model.width=32"]) == 1
    assert "does not fit config.model" in capsys.readouterr().err


def test_convert_and_embed_a_simulated_table(tmp_path, survey, finished):
    converted, embedded = tmp_path / "y.parquet", tmp_path / "emb.parquet"
    convert = [f"--config={ROOT}/configs/convert.py", f"--config.input={survey}"]
    assert main(["main", *convert, f"--config.output={converted}"]) == 0
    assert len(read_survey(str(converted))[0]) == len(read_survey(str(survey))[0]) == 12
    embed = [f"--config={ROOT}/configs/embed.py", f"--config.init={finished}"]
    words = [*embed, f"--config.data.path={converted}", f"--config.output={embedded}"]
    assert main(["main", *words]) == 0
    assert pq.read_table(embedded).num_rows == 12


def test_convert_and_embed_original_files(tmp_path, shared, finished):
    folder = shared / "data" / "raw_samples" / "macho_mjd"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    converted, embedded = tmp_path / "macho.parquet", tmp_path / "emb.parquet"
    convert = [f"--config={ROOT}/configs/convert.py", "--config.format=macho"]
    words = [*convert, f"--config.input={folder}", f"--config.output={converted}"]
    assert main(["main", *words]) == 0
    embed = [f"--config={ROOT}/configs/embed.py", f"--config.init={finished}"]
    words = [*embed, f"--config.data.path={folder}", f"--config.output={embedded}"]
    assert main(["main", *words]) == 0
    keys = pq.read_table(embedded).select(["id", "band"])
    assert keys.equals(pq.read_table(converted).select(["id", "band"]).cast(keys.schema))
    assert keys.num_rows == 17
