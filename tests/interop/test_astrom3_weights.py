"""Weights of AstroM3 in the released layout: there and back, strictly, and through `load`."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import astro_jax
from astro_jax.errors import UserError
from astro_jax.interop.astrom3 import CLASSES, from_official, to_official, write_astrom3

MODELS = [f"AstroM3-CLIP{end}" for end in ("", "-all", "-photo", "-spectra", "-meta")]
PREFIXES = {"photo": "photometry", "spectra": "spectra", "meta": "metadata"}
MODALITY = {"photo": "photometry", "spectra": "spectrum", "meta": "metadata"}
PE = "enc_embedding.position_embedding.pe"


def small_tensors(classes=3, width=8, blocks=2, concat=False, seed=0):
    """Return tensors named as the released ones, of small widths."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    def dense(name, out, *rest):
        return {f"{name}.weight": draw(out, *rest), f"{name}.bias": draw(out)}

    photo = "photometry_encoder."
    tensors = {f"{photo}enc_embedding.value_embedding.tokenConv.weight": draw(width, 9, 3)}
    for i in range(blocks):
        layer = f"{photo}encoder.attn_layers.{i}."
        for part in ("query", "key", "value", "out"):
            tensors |= dense(f"{layer}attention.{part}_projection", width, width)
        tensors |= dense(f"{layer}conv1", 12, width, 1) | dense(f"{layer}conv2", width, 12, 1)
        tensors |= dense(f"{layer}norm1", width) | dense(f"{layer}norm2", width)
    tensors |= dense(f"{photo}encoder.norm", width)
    for n, (i, o) in zip("0369", ((3, 6), (6, 6), (6, 4), (4, 4)), strict=True):
        tensors |= dense(f"spectra_encoder.layers.{n}", o, i, 3)
    tensors |= dense("metadata_encoder.model.0", 7, 34) | dense("metadata_encoder.model.3", 7, 7)
    tensors |= dense("photometry_proj", 5, 16 * width)
    tensors |= dense("spectra_proj", 5, 24) | dense("metadata_proj", 5, 7)
    tensors |= {f"logit_scale_{p}": np.asarray(draw(1)[0]) for p in ("ps", "sm", "mp")}
    return tensors | (dense("fc", classes, 15 if concat else 5) if classes else {})


def same(ours, theirs):
    left = {n: a for n, a in ours.items() if not n.endswith(PE)}
    assert left.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(left[name], array, err_msg=name)


@pytest.mark.parametrize("concat", [False, True])
@pytest.mark.parametrize("classes", [0, 3])
def test_there_and_back(classes, concat):
    tensors = small_tensors(classes, concat=concat)
    told, params = from_official(tensors, {})
    assert (told["modality"], told["classes"]) == ("", classes)
    same(to_official(params, concat=bool(classes) and concat), tensors)


@pytest.mark.parametrize("prefixed", [False, True])
@pytest.mark.parametrize("name", MODALITY)
def test_one_modality_bare_and_prefixed(name, prefixed):
    modality = MODALITY[name]
    prefix = f"{PREFIXES[name]}_encoder."
    own = {n: a for n, a in small_tensors().items() if n.startswith(prefix)}
    bare = {n.removeprefix(prefix): a for n, a in own.items()}
    head = {"fc.weight": np.ones((3, 2), np.float32), "fc.bias": np.zeros(3, np.float32)}
    told, params = from_official({**(own if prefixed else bare), **head}, {})
    assert told["modality"] == modality and set(told["towers"]) == {modality}
    same(to_official(params, modality), {**bare, **head})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("metadata_proj.bias"), "lacks tensor 'metadata_proj.bias'"),
        (lambda t: t.update(extra=np.zeros(3, np.float32)), "no place for tensor 'extra'"),
        (lambda t: t["fc.bias"].fill(np.nan), "'fc.bias' is not finite"),
        (
            lambda t: t.update({f"photometry_encoder.{PE}": np.ones((1, 30, 8), np.float32)}),
            "no table of sines",
        ),
        (lambda t: t.clear(), "no tower of AstroM3"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    tensors = small_tensors()
    change(tensors)
    with pytest.raises(UserError, match=message):
        from_official(tensors, {}, "x.safetensors")


@pytest.mark.parametrize("name", MODELS)
def test_the_released_layouts(shared, name):
    """Zeros in the shape of the released tensors are taken whole and written back alike."""
    path = shared / "parity" / "astrom3_state_dict.json"
    if not path.exists():
        pytest.skip(f"no {path}")
    model = json.loads(path.read_text())["models"][name]
    tensors = {
        n: np.zeros(s, np.float32) for n, s in model["tensors"].items() if not n.endswith(PE)
    }
    told, params = from_official(tensors, model["config"])
    modality = MODALITY.get(name.rsplit("-", 1)[1], "")
    assert told["modality"] == modality
    assert told["classes"] == (10 if model["config"]["classification"] else 0)
    ours = to_official(params, modality)
    assert {n: list(a.shape) for n, a in ours.items()} == model["tensors"]
    count = sum(int(np.size(x)) for x in jax.tree.leaves(params))
    assert count == model["n_trainable"]
    rates = {n: f["dropout"] for n, f in told["towers"].items()}
    config = model["config"]
    if not modality:
        assert rates["photometry"] == config["p_dropout"] != rates["spectrum"]


# Through `load`


def batch(rows=2):
    rng = np.random.default_rng(1)
    parts = {"photometry": (16, 9), "spectrum": (560, 3), "metadata": (34,)}
    records = {}
    for name, shape in parts.items():
        values = rng.standard_normal((rows, *shape)).astype(np.float32)
        mask = np.ones(values.shape[: 2 if len(shape) > 1 else None], bool)
        records[name] = {"values": jnp.asarray(values), "mask": jnp.asarray(mask)}
    return records


@pytest.fixture
def released(tmp_path):
    """Return a folder as on the hub, with a small model of all modalities."""
    folder = tmp_path / "AstroM3-CLIP-all"
    folder.mkdir()
    tensors = small_tensors(classes=10)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = {"p_n_heads": 2, "p_dropout": 0.2, "s_dropout": 0.3, "m_dropout": 0.1}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_load_takes_a_folder_of_the_hub(released):
    run = astro_jax.load(released)
    assert list(run.config.classes) == list(CLASSES)
    assert run.config.rows.length == 200 and run.model.encoder.towers["photometry"].heads == 2
    output = jax.jit(run.model.apply)({"params": run.params}, batch())
    assert output["logits"].shape == (2, 10) and np.isfinite(output["logits"]).all()
    alone = astro_jax.load(released / "model.safetensors")
    assert alone.config == run.config


def test_what_we_write_is_what_was_released(released, tmp_path):
    run = astro_jax.load(released)
    write_astrom3(tmp_path / "ours.safetensors", run.params)
    ours = load_file(tmp_path / "ours.safetensors")
    assert ours.pop(f"photometry_encoder.{PE}").shape == (1, 5000, 8)
    same(ours, load_file(released / "model.safetensors"))
    (tmp_path / "config.json").write_text((released / "config.json").read_text())
    again = astro_jax.load(tmp_path / "ours.safetensors")
    jax.tree.map(np.testing.assert_array_equal, run.params, again.params)


def test_our_own_files_are_still_ours(released, tmp_path):
    run = astro_jax.load(released)
    astro_jax.save_safetensors(run, tmp_path / "own" / "x.safetensors")
    again = astro_jax.load(tmp_path / "own" / "x.safetensors")
    assert json.loads(again.config.to_json()) == json.loads(run.config.to_json())
    assert again.model == run.model


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="x.safetensors cannot be read"):
        astro_jax.load(tmp_path / "x.safetensors")
