"""The towers and their heads: public paths, masks, missing modalities, a fourth one."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astro_jax.models.astrom3 import (
    AstroM3,
    ConcatFusion,
    FusedClassifier,
    GalSpecNet,
    Informer,
    MeanFusion,
    Metadata,
    OfficialInformer,
    OfficialMetadata,
    TowerClassifier,
)
from astro_jax.optim import path_name
from astro_jax.spec import build, spec

pytestmark = pytest.mark.usefixtures("hastily")

B, T, S, F = 4, 16, 560, 5
TINY = {"width": 8, "heads": 2, "ffn": 16, "blocks": 1}
SMALL = {
    "photometry": Informer(**TINY),
    "spectrum": GalSpecNet(channels=(8, 8, 8, 8)),
    "metadata": Metadata(width=8),
}
OFFICIAL = {
    **SMALL,
    "photometry": OfficialInformer(**TINY),
    "metadata": OfficialMetadata(width=8),
}
MODELS = {"full": AstroM3(SMALL, space=6), "official": AstroM3(OFFICIAL, space=6)}


def make_batch(sizes=(T, 11, 5, 1), seed=0):
    rng = np.random.default_rng(seed)
    rows = len(sizes)
    mask = np.arange(T) < np.array(sizes)[:, None]
    batch = {
        "photometry": {"values": rng.standard_normal((rows, T, 9)) * mask[..., None], "mask": mask},
        "spectrum": {"values": rng.standard_normal((rows, S, 3)), "mask": np.ones((rows, S), bool)},
        "metadata": {"values": rng.standard_normal((rows, F)), "mask": np.ones((rows, F), bool)},
    }
    return jax.tree.map(lambda x: jnp.asarray(x, bool if x.dtype == bool else jnp.float32), batch)


@cache
def params_of(name):
    return jax.jit(MODELS[name].init)(jax.random.key(0), make_batch())["params"]


@cache
def compiled(name, train=False):
    return jax.jit(partial(MODELS[name].apply, train=train))


def run(name, batch, train=False, **more):
    return compiled(name, train)({"params": params_of(name)}, {**batch, **more})


def changed(batch, name, **parts):
    return {**batch, name: {**batch[name], **parts}}


def shapes(model, batch):
    drawn = jax.eval_shape(model.init, jax.random.key(0), batch)["params"]
    return {path_name(p): x.shape for p, x in jax.tree_util.tree_leaves_with_path(drawn)}


# Public names and sizes


def published():
    towers = {
        "photometry": OfficialInformer(),
        "spectrum": GalSpecNet(),
        "metadata": OfficialMetadata(),
    }
    batch = {
        "photometry": {"values": jnp.zeros((1, 200, 9)), "mask": jnp.ones((1, 200), bool)},
        "spectrum": {"values": jnp.zeros((1, 2575, 3)), "mask": jnp.ones((1, 2575), bool)},
        "metadata": {"values": jnp.zeros((1, 34)), "mask": jnp.ones((1, 34), bool)},
    }
    return towers, batch


def test_the_published_numbers_of_parameters():
    towers, batch = published()
    model = AstroM3(towers)
    sizes = {path: int(np.prod(shape)) for path, shape in shapes(model, batch).items()}
    total = sum(sizes.values())
    assert total == 15_869_827
    part = {name: sum(n for p, n in sizes.items() if p.startswith(f"towers_{name}/"))
            for name in towers}  # fmt: skip
    assert part == {"photometry": 1_589_888, "spectrum": 22_272, "metadata": 280_576}
    fused = FusedClassifier(model, MeanFusion(10))
    assert sum(int(np.prod(s)) for s in shapes(fused, batch).values()) == 15_874_957
    single = {"photometry": 1_845_898, "spectrum": 34_122, "metadata": 285_706}
    for name, count in single.items():
        classifier = TowerClassifier(towers[name], name, 10)
        assert sum(int(np.prod(s)) for s in shapes(classifier, batch).values()) == count


BLOCK = {
    "attention/out/bias": (128,),
    "attention/out/kernel": (128, 128),
    "attention/qkv/bias": (3, 4, 32),
    "attention/qkv/kernel": (128, 3, 4, 32),
    "dense_1/bias": (512,),
    "dense_1/kernel": (128, 512),
    "dense_2/bias": (128,),
    "dense_2/kernel": (512, 128),
    "norm_1/bias": (128,),
    "norm_1/scale": (128,),
    "norm_2/bias": (128,),
    "norm_2/scale": (128,),
}


def test_parameter_paths_and_shapes_are_public():
    towers, batch = published()
    paths = shapes(AstroM3(towers), batch)
    photometry = {f"towers_photometry/block_{i}/{p}": s for i in range(8) for p, s in BLOCK.items()}
    widths = {0: (3, 64), 1: (64, 64), 2: (64, 32), 3: (32, 32)}
    expected = {
        **photometry,
        "towers_photometry/embedding/conv/kernel": (3, 9, 128),
        "towers_photometry/norm/bias": (128,),
        "towers_photometry/norm/scale": (128,),
        **{f"towers_spectrum/conv_{i}/kernel": (3, *w) for i, w in widths.items()},
        **{f"towers_spectrum/conv_{i}/bias": w[1:] for i, w in widths.items()},
        "towers_metadata/dense_1/kernel": (34, 512),
        "towers_metadata/dense_1/bias": (512,),
        "towers_metadata/dense_2/kernel": (512, 512),
        "towers_metadata/dense_2/bias": (512,),
        **{f"projections_{n}/bias": (512,) for n in towers},
        "projections_photometry/kernel": (25600, 512),
        "projections_spectrum/kernel": (1184, 512),
        "projections_metadata/kernel": (512, 512),
        "logit_scale_metadata_photometry": (),
        "logit_scale_metadata_spectrum": (),
        "logit_scale_photometry_spectrum": (),
    }
    assert paths == expected


# The recommended variant: nothing but observations counts


@pytest.mark.parametrize("junk", [3.0, np.inf, np.nan])
def test_what_stands_where_nothing_was_observed_never_matters(junk):
    batch = make_batch()
    batch = changed(batch, "metadata", mask=jnp.arange(B * F).reshape(B, F) % 3 > 0)
    batch = changed(batch, "spectrum", mask=jnp.arange(B * S).reshape(B, S) % 7 > 0)
    dirty = {
        name: {**record, "values": jnp.where(
            record["mask"].reshape(record["values"].shape[: record["mask"].ndim] + (1,) * (
                record["values"].ndim - record["mask"].ndim)), record["values"], junk)}
        for name, record in batch.items()
    }  # fmt: skip
    for name, vectors in run("full", batch)["embedding"].items():
        np.testing.assert_array_equal(vectors, run("full", dirty)["embedding"][name])


def test_more_padding_and_other_rows_change_nothing():
    batch = make_batch()
    photometry = batch["photometry"]
    longer = jax.tree.map(
        lambda x: jnp.pad(x, ((0, 0), (0, 9)) + ((0, 0),) * (x.ndim - 2)), photometry
    )
    whole = run("full", batch)["embedding"]
    padded = run("full", {**batch, "photometry": longer})["embedding"]
    np.testing.assert_allclose(padded["photometry"], whole["photometry"], atol=1e-6)
    one = run("full", jax.tree.map(lambda x: x[2:3], batch))["embedding"]
    for name in SMALL:
        np.testing.assert_allclose(one[name], whole[name][2:3], atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_evaluation_repeats(name):
    batch = make_batch()
    jax.tree.map(np.testing.assert_array_equal, run(name, batch), run(name, make_batch()))


def test_the_order_of_observations_counts():
    batch = make_batch(sizes=(T,) * B)
    flipped = changed(batch, "photometry", values=batch["photometry"]["values"][:, ::-1])
    a, b = (run("full", x)["embedding"]["photometry"] for x in (batch, flipped))
    assert np.abs(a - b).max() > 1e-3


# The released variant: what padding holds counts, and the draws are a stream of their own


def test_padding_counts_in_the_released_tower():
    batch = make_batch()
    values = batch["photometry"]["values"] + ~batch["photometry"]["mask"][..., None]
    a = run("official", batch)["embedding"]["photometry"]
    b = run("official", changed(batch, "photometry", values=values))["embedding"]["photometry"]
    assert np.abs(a - b)[1:].max() > 1e-4


def test_sampled_keys_come_from_a_stream_or_are_given():
    batch, model = make_batch(), MODELS["official"]
    variables = {"params": params_of("official")}

    @jax.jit
    def embed(batch, **rngs):
        return model.apply(variables, batch, rngs=rngs)["embedding"]["photometry"]

    drawn = embed(batch, draws=jax.random.key(1))
    np.testing.assert_array_equal(drawn, embed(batch, draws=jax.random.key(1)))
    assert np.abs(drawn - embed(batch, draws=jax.random.key(2))).max() > 0
    index = np.random.default_rng(0).integers(0, T, (1, T, 3))
    given = changed(batch, "photometry", draws=index)
    np.testing.assert_array_equal(embed(given), embed(given, draws=jax.random.key(3)))


def test_the_released_tower_gives_zeros_at_padding():
    features = run("official", make_batch())["features"]["photometry"].reshape(B, T, -1)
    mask = make_batch()["photometry"]["mask"]
    assert (features[~mask] == 0).all() and (np.abs(features[mask]).max(-1) > 0).all()


# Dropout


@pytest.mark.parametrize("name", MODELS)
def test_dropout_belongs_to_the_row(name):
    batch, keys = make_batch(), jax.random.split(jax.random.key(1), B)
    train = run(name, batch, train=True, key=keys)["embedding"]
    order = np.array([2, 0, 3, 1])
    mixed = jax.tree.map(lambda x: x[order], batch)
    again = run(name, mixed, train=True, key=keys[order])["embedding"]
    for modality, vectors in train.items():
        np.testing.assert_allclose(again[modality], vectors[order], atol=1e-5)
        assert np.abs(vectors - run(name, batch)["embedding"][modality]).max() > 1e-3


def test_metadata_are_hidden_in_training():
    tower = Metadata(width=8, dropout=0.0, hide=0.5)
    record = make_batch()["metadata"]
    params = tower.init(jax.random.key(0), record, None)
    keys = jax.random.split(jax.random.key(1), B)
    hidden = tower.apply(params, record, keys)
    assert (np.abs(hidden - tower.apply(params, record, None)).max(1) > 0).sum() >= 3


# Missing modalities


def test_an_object_without_a_modality_is_not_there():
    batch = make_batch()
    lacking = changed(batch, "spectrum", mask=batch["spectrum"]["mask"].at[1].set(False))
    output = run("full", lacking)
    np.testing.assert_array_equal(output["present"]["spectrum"], [True, False, True, True])
    assert all(np.isfinite(v).all() for v in output["embedding"].values())


def test_a_modality_that_the_batch_lacks_is_left_out():
    batch = make_batch()
    few = {name: batch[name] for name in ("metadata", "photometry")}
    output = run("full", few)["embedding"]
    assert set(output) == set(few)
    np.testing.assert_allclose(output["metadata"], run("full", batch)["embedding"]["metadata"])


@pytest.fixture(scope="module")
def fused():
    model = FusedClassifier(MODELS["full"], MeanFusion(3))
    params = jax.jit(model.init)(jax.random.key(1), make_batch())["params"]
    return model, params


def test_fusion_is_the_mean_of_what_is_there(fused):
    model, params = fused
    batch = make_batch()
    batch = changed(batch, "spectrum", mask=batch["spectrum"]["mask"].at[1].set(False))
    encoded = jax.jit(model.encoder.apply)({"params": params["encoder"]}, batch)["embedding"]
    mean = np.mean(list(encoded.values()), axis=0)
    mean[1] = (encoded["photometry"][1] + encoded["metadata"][1]) / 2
    output = jax.jit(model.apply)({"params": params}, batch)
    np.testing.assert_allclose(output["embedding"], mean, atol=1e-6)
    head = params["head"]["dense"]
    np.testing.assert_allclose(output["logits"], mean @ head["kernel"] + head["bias"], atol=1e-5)


def test_what_an_absent_modality_holds_has_no_gradient(fused):
    model, params = fused
    batch = changed(make_batch(), "spectrum", mask=jnp.zeros((B, S), bool))

    def total(params):
        return (model.apply({"params": params}, batch)["logits"] ** 2).sum()

    gradient = jax.jit(jax.grad(total))(params)["encoder"]
    assert all((g == 0).all() for g in jax.tree.leaves(gradient["towers_spectrum"]))
    assert max(np.abs(g).max() for g in jax.tree.leaves(gradient["towers_photometry"])) > 0


def test_concatenation_has_zeros_where_a_modality_is_absent():
    embedding = {name: jnp.ones((2, 3)) for name in "abc"}
    present = {name: jnp.array([True, name != "b"]) for name in "abc"}
    model = ConcatFusion(2)
    params = model.init(jax.random.key(0), embedding, present)
    fused = model.apply(params, embedding, present)["embedding"]
    np.testing.assert_array_equal(fused, [[1] * 9, [1, 1, 1, 0, 0, 0, 1, 1, 1]])


# A fourth modality by config alone


def test_a_fourth_modality_is_one_more_tower_in_the_config():
    described = {
        "photometry": spec(Informer, **TINY),
        "photometry_g": spec(Informer, **TINY),
        "spectrum": spec(GalSpecNet, channels=(8, 8, 8, 8)),
        "metadata": spec(Metadata, width=8),
    }
    model = build(spec(AstroM3, towers=described, space=6))
    assert hash(model) == hash(build(spec(AstroM3, towers=described, space=6)))
    batch = make_batch()
    batch["photometry_g"] = make_batch(seed=1)["photometry"]
    params = jax.jit(model.init)(jax.random.key(0), batch)["params"]
    assert len([name for name in params if name.startswith("logit_scale_")]) == 6
    output = jax.jit(model.apply)({"params": params}, batch)
    assert set(output["embedding"]) == set(described)
    lengths = [np.linalg.norm(v, axis=-1) for v in output["embedding"].values()]
    np.testing.assert_allclose(lengths, 1.0, rtol=1e-5)
