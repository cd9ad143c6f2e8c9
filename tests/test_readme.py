"""What the README says can be typed, can be typed; its pages name what there is."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from tiny import ROOT, TINY, TINY_MODEL, config_module, config_of, labelled_survey, toy_curves
from tiny_objects import words as objects_words
from tiny_transients import labelled_transients
from tiny_transients import readme_words as transient_words

from astro_jax.data.curves import from_arrays
from astro_jax.data.table import write_table
from astro_jax.data.transient_table import write_transients
from astro_jax.errors import STOPPED
from astro_jax.main import main

pytestmark = pytest.mark.usefixtures("hastily")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = README + "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").glob("*.md"))
SHRINK = [word for word in TINY if "simulate" not in word]


def fenced(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def command_lines() -> list[list[str]]:
    """Return the arguments of every `astro_jax.main` line, in the order of the README."""
    lines = "".join(fenced("sh")).replace("\\\n", " ").splitlines()
    return [
        shlex.split(line.partition("-m astro_jax.main")[2])
        for line in lines
        if "-m astro_jax.main" in line
    ]


def snippets() -> list[str]:
    return fenced("python")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Return a folder that has the files which the README names, small."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "configs").symlink_to(ROOT / "configs")
    downloads = folder / "downloads" / "macho"
    downloads.mkdir(parents=True)
    for k, curve in enumerate(toy_curves(24, 40)):
        rows = "\n".join(f"{t:.6f} {m - 20:.3f} {e:.3f}" for t, m, e in curve)
        head = (
            "#Field Tile Seq RA(hour) Dec(deg) Filter mean_Mag med_Mag mean_(B-R) med_(B-R)\n"
            f"#1 3444 {k} 5.02878 -69.171 R -5.0 -5.0 0.0 0.0\n#MJD Mag Err\n"
        )
        (downloads / f"lc_1.3444.{k}.R.mjd").write_text(head + rows + "\n")
    curves = from_arrays(toy_curves(12, 40, seed=3), ids=np.arange(12))
    write_table(curves, str(folder / "x.parquet"))
    survey = labelled_survey()
    large = np.isin(survey.columns["label"].to_pylist(), ["fast", "slow", "flat"])
    for name in ("asas", "ogle"):
        write_table(survey.take(large), str(folder / f"{name}.parquet"))
    for name in ("yse", "new"):
        write_transients(labelled_transients(), str(folder / f"{name}.parquet"))
    return folder


def shrunk(words: list[str]) -> list[str]:
    """Return the arguments of a line with overrides that make it small."""
    job = Path(words[0].partition("=")[2].partition(":")[0]).stem
    if job in ("train_ztf", "transfer_bts", "learning_curve"):
        return [*words, *transient_words(job)]
    if "astrom3" in job or job == "explore":
        few = ["--config.trials=1"] if job == "tune_astrom3" else []
        return [*words, *objects_words(words[0].rpartition("/")[2].replace(".py", "")), *few]
    if job == "pretrain_macho":
        simulated = not any(word.startswith("--config.data.path") for word in words)
        return [*words, *SHRINK, *(["--config.data.simulate.stars=12"] if simulated else [])]
    few = [word for word in SHRINK if ".model." not in word]
    if job in ("classify", "regress"):  # finetune shows that `base` is there; a small one is faster
        words = [word.replace("init=base", "init=runs/macho") for word in words]
    return [*words, *few] if job in ("finetune", "classify", "regress") else words


@pytest.fixture(scope="module")
def codes(here, hastily):
    """Run all command lines one after the other; return their exit codes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        return [exit_code(shrunk(words)) for words in command_lines()]


def exit_code(words: list[str]) -> int:
    """Return the exit code of a job; end the tests where a signal to them ended it.

    A job takes SIGTERM for itself, so that of `timeout` would else be lost in one code of many.
    """
    code = main(["main", *words])
    if code == STOPPED:
        pytest.exit(f"a signal stopped {' '.join(words)}", STOPPED)
    return code


def test_the_lines_are_found():
    lines = command_lines()
    assert len(lines) >= 7 and len(snippets()) >= 2
    assert all(words[0].startswith("--config=configs/") for words in lines)
    assert {Path(words[0].partition("=")[2].partition(":")[0]).stem for words in lines} == {
        path.stem for path in (ROOT / "configs").glob("*.py")
    }
    assert "".join(fenced("sh")).count("astro_jax.main") == len(lines)
    assert README.count("```") == 2 * len(fenced("sh") + snippets())  # no fence of another kind
    assert TINY_MODEL[0] in SHRINK


def test_every_command_line_runs(codes, here):
    ended = zip(command_lines(), codes, strict=True)
    assert [(" ".join(words), code) for words, code in ended if code] == []
    for name in (
        "macho.parquet",
        "emb.parquet",
        "rows.parquet",
        "pred.parquet",
        "transients.parquet",
        "runs/curve/learning_curve.png",
        "runs/clf/confusion.png",
    ):
        assert (here / name).stat().st_size > 0


@pytest.mark.parametrize("k", range(len(snippets())))
def test_every_snippet_runs(codes, here, k, monkeypatch):
    monkeypatch.chdir(here)
    names: dict = {}
    exec(compile(snippets()[k], f"README.md, snippet {k}", "exec"), names)
    vectors = names.get("vectors", [])
    assert all(v.ndim == 2 and np.isfinite(v).all() for v in vectors)
    if "record" in names:
        assert len(names["record"].prediction) == 150 and names["record"].classes[0] == "fast"
    assert len(vectors) > 10 or "record" in names


def test_quick_start_is_two_lines_and_the_second_is_what_ci_runs():
    lines = [block.strip() for block in fenced("sh")[:2]]
    assert all("\n" not in line for line in lines)
    assert all(line.startswith("python3 -m venv .venv && .venv/bin/pip") for line in lines)
    assert lines[0].endswith("--config=configs/pretrain_macho.py")
    assert lines[1].endswith("-m pytest")
    assert "README.md" in (ROOT / ".ci" / "run").read_text()


def test_every_key_that_is_named_exists_and_every_variant_is_named():
    configs = [config_of(path.stem) for path in (ROOT / "configs").glob("*.py")]
    for key in re.findall(r"`((?:data|model|objective)\.\w+)`", PAGES):
        part, _, name = key.partition(".")
        assert any(name in config.get(part, {}) for config in configs), key
    variants = [*config_module("pretrain_macho").VARIANTS, *config_module("classify").HEADS]
    variants += config_module("regress").VARIANTS
    assert [v for v in variants if v and f"`{v}`" not in PAGES] == []
