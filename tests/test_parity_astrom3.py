"""The released AstroM3 modules on their own inputs, weights and key draws."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from astro_jax import optim
from astro_jax.interop.astrom3 import from_official, to_official
from astro_jax.interop.astrom3_names import layout
from astro_jax.models.astrom3 import (
    AstroM3,
    ConcatFusion,
    FusedClassifier,
    GalSpecNet,
    MeanFusion,
    OfficialInformer,
    OfficialMetadata,
    TowerClassifier,
)
from astro_jax.nn.informer import slot_encoding
from astro_jax.objectives.classification import cross_entropy
from astro_jax.objectives.contrastive import contrastive, pair_logits, pair_losses
from astro_jax.step import init_state, train_step

pytestmark = pytest.mark.parity

# Gates of the specification, section 8.
EMBEDDING, LOGITS, LOSS, GRADIENT = 2e-6, 1e-4, 1e-6, 1e-4
TRAIN_LOSS = (1e-6, 1e-4, 1e-3, 1e-3)
TOWERS = {"photometry": "photo", "spectrum": "spectra", "metadata": "meta"}
PAIRS = {
    "ps": ("photometry", "spectrum"),
    "sm": ("metadata", "spectrum"),
    "mp": ("metadata", "photometry"),
}


@pytest.fixture(scope="module")
def fixture(shared):
    with np.load(shared / "parity" / "astrom3_public.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def official(fixture):
    """Return the released architecture and the parameters of the fixture."""
    tensors = {n.removeprefix("param/"): a for n, a in fixture.items() if n.startswith("param/")}
    told, params = from_official(tensors, {})
    fields = told["towers"]
    towers = {
        "photometry": OfficialInformer(**fields["photometry"]),
        "spectrum": GalSpecNet(**fields["spectrum"]),
        "metadata": OfficialMetadata(**fields["metadata"]),
    }
    return AstroM3(towers, told["space"]), params


@pytest.fixture(scope="module")
def batch(fixture):
    spectra = fixture["in/spectra"].transpose(0, 2, 1)
    metadata = fixture["in/metadata"]
    return {
        "photometry": {
            "values": fixture["in/photometry"],
            "mask": fixture["in/photometry_mask"] > 0,
            "draws": fixture["in/key_sample_index"].astype(np.int32),
        },
        "spectrum": {"values": spectra, "mask": np.ones(spectra.shape[:2], bool)},
        "metadata": {"values": metadata, "mask": np.ones(metadata.shape, bool)},
    }


@pytest.fixture(scope="module")
def output(official, batch):
    model, params = official
    shapes = jax.eval_shape(model.init, jax.random.key(0), batch)["params"]
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, params)

    def run(params):
        states = {"capture_intermediates": False, "mutable": ["intermediates"]}
        output, state = model.apply({"params": params}, batch, **states)
        return output, state["intermediates"]["towers_photometry"]

    return jax.jit(run)(params)


def off(ours, expected):
    assert np.shape(ours) == np.shape(expected)
    return float(np.abs(np.asarray(ours, np.float64) - expected).max())


def test_the_table_of_positions(fixture):
    assert off(slot_encoding(256, 128), fixture["pe/first256"]) < 2e-6


@pytest.mark.parametrize("modality", TOWERS)
def test_features_projections_and_unit_embeddings(fixture, output, modality):
    name = TOWERS[modality]
    for part, key in (("features", "enc"), ("projection", "proj")):
        expected = fixture[f"out/{name}_{key}"]
        assert off(output[0][part][modality], expected) < 3e-6 * max(1, np.abs(expected).max())
    assert off(output[0]["embedding"][modality], fixture[f"out/{name}_emb"]) < EMBEDDING
    assert off(output[0]["embedding"][modality], fixture[f"out64/{name}_emb"]) < EMBEDDING


@pytest.mark.parametrize("number", range(8))
def test_every_layer_of_the_informer(fixture, output, number):
    layer = output[1][f"block_{number}"]
    for ours, theirs in (("attended", "attn"), ("output", "layer")):
        expected = fixture[f"mid/photo_{theirs}{number}"]
        assert off(layer[ours][0][: len(expected)], expected) < 1e-5


def test_logits_loss_and_matching(fixture, official, output):
    model, params = official
    scales = model.apply({"params": params}, method="logit_scales")
    embedding, present = output[0]["embedding"], output[0]["present"]
    for name, (a, b) in PAIRS.items():
        logits = pair_logits(embedding[a], embedding[b], scales[a, b])
        expected = fixture[f"out/logits_{name}"]
        first = {"ps": "photometry", "sm": "spectrum", "mp": "metadata"}[name]
        assert off(logits if first == a else logits.T, expected) < LOGITS
        one = {key: scales[key] for key in [(a, b)]}
        part, _ = pair_losses(embedding, present, one)
        np.testing.assert_allclose(part, fixture[f"out/loss_{name}"], rtol=LOSS)
    loss, chance = pair_losses(embedding, present, scales)
    np.testing.assert_allclose(loss, fixture["out/loss"], rtol=LOSS)
    assert off(chance, fixture["out/clip_prob"]) < 1e-6


def test_the_objective_gives_the_same_loss_in_chunks(fixture, official, batch):
    model, params = official
    draws = batch["photometry"]["draws"]
    rows = {"row": np.arange(8, dtype=np.uint32), "weight": np.ones(8, np.float32)}
    plain = {**batch, "photometry": {k: batch["photometry"][k] for k in ("values", "mask")}, **rows}

    def apply(variables, *inputs, **options):
        inputs = tuple({**x, "photometry": {**x["photometry"], "draws": draws}} for x in inputs)
        return model.apply(variables, *inputs, **options)

    objective = contrastive(apply, rows=4)
    metrics = jax.jit(lambda p: objective.metrics(p, plain, jax.random.key(0), False))(params)
    np.testing.assert_allclose(metrics["loss"].value, fixture["out/loss"], rtol=LOSS)
    wrong = (fixture["out/clip_prob"].argmax(1) != np.arange(8)).mean()
    np.testing.assert_allclose(metrics["mismatch"].value, wrong)


# Training: three steps of Adam with coupled L2, clipped; dropout off


def keeping_the_gradient(optimizer):
    """Return the optimiser with the gradient that it was given beside its state."""

    def update(gradient, state, params):
        updates, inner = optimizer.update(gradient, state[0], params)
        return updates, (inner, gradient)

    def init(params):
        return optimizer.init(params), jax.tree.map(jnp.zeros_like, params)

    return optax.GradientTransformation(init, update)


@pytest.fixture(scope="module")
def steps(fixture, official, batch):
    """Return the losses, the norms, the gradient of the first step, and states after each step."""
    model, params = official
    rate, b1, b2, eps, decay, clip = (float(x) for x in fixture["train/hparams"])
    schedule = optax.constant_schedule(rate)
    optimizer = keeping_the_gradient(optim.adam(schedule, b1, b2, eps, clip=clip, l2=decay))
    rows = {"row": np.arange(8, dtype=np.uint32), "weight": np.ones(8, np.float32)}

    def apply(variables, *inputs, train=False, rngs=None, **options):
        return model.apply(variables, *inputs, **options)  # without dropout

    run = jax.jit(partial(train_step, objective=contrastive(apply), optimizer=optimizer))
    state, told, states = init_state(params, optimizer), [], []
    for draws in fixture["train/key_sample_index"].astype(np.int32):
        with_draws = {**batch, **rows, "photometry": {**batch["photometry"], "draws": draws}}
        state, metrics = run(state, with_draws, jax.random.key(0))
        told.append([float(metrics[name].value) for name in ("loss", "gradient_norm")])
        states.append(state)
    losses, norms = zip(*told, strict=True)
    return losses, norms[:3], states[0].opt_state[1], states


def test_losses_of_the_steps(fixture, steps):
    for ours, theirs, rtol in zip(steps[0], fixture["train64/loss"], TRAIN_LOSS, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol)


def test_norms_before_clipping(fixture, steps):
    np.testing.assert_allclose(steps[1], fixture["train64/grad_norm_before_clip"], rtol=2e-3)
    assert min(steps[1]) > fixture["train/hparams"][5]


def test_gradients(fixture, steps):
    ours = to_official(steps[2])
    names = [n.removeprefix("grad64/") for n in fixture if n.startswith("grad64/")]
    assert len(names) == 12
    for name in names:
        expected = fixture[f"grad64/{name}"]
        assert off(ours[name], expected) <= GRADIENT * np.abs(expected).max(), name


def test_norm_of_the_gradient_of_every_tensor(fixture, steps):
    ours = to_official(steps[2])
    norms = {n: np.linalg.norm(ours[n].astype(np.float64)) for n in fixture["train/param_names"]}
    expected = dict(zip(fixture["train/param_names"], fixture["train64/grad_l2"], strict=True))
    for name, value in norms.items():
        np.testing.assert_allclose(value, expected[name], rtol=GRADIENT, atol=1e-7, err_msg=name)


def test_parameters_after_a_step(fixture, steps):
    ours = to_official(steps[3][0].params)
    rate = fixture["train/hparams"][0]
    for name in (n.removeprefix("param_after_step1/") for n in fixture):
        if f"param_after_step1/{name}" not in fixture:
            continue
        expected = fixture[f"param_after_step1/{name}"]
        # a step of Adam is +-rate; where the gradient is rounding noise its sign is open
        change = np.abs(ours[name] - expected)
        assert np.mean(change > 0.01 * rate) < 0.01 and change.max() < 2.1 * rate, name


def test_a_scale_beyond_the_clamp_moves_by_decay_alone(steps, official):
    assert float(steps[2]["logit_scale_metadata_photometry"]) == 0.0
    before = float(official[1]["logit_scale_metadata_photometry"])
    assert float(steps[3][0].params["logit_scale_metadata_photometry"]) < before


# Classifiers


def head_of(fixture, kind):
    kernel, bias = (fixture[f"param_fc/{kind}.{name}"] for name in ("weight", "bias"))
    return {"fc.weight": kernel, "fc.bias": bias}


@pytest.mark.parametrize(("kind", "head"), [("all_avg", MeanFusion), ("all_concat", ConcatFusion)])
def test_classifier_of_all(fixture, official, batch, kind, head):
    model, params = official
    tensors = {**to_official(params), **head_of(fixture, kind)}
    told, loaded = from_official(tensors, {})
    assert told["fusion"] == {"all_avg": "mean", "all_concat": "concat"}[kind]
    classifier = FusedClassifier(model, head(told["classes"]))
    logits = jax.jit(classifier.apply)({"params": loaded}, batch)["logits"]
    assert off(logits, fixture[f"out/cls_{kind}"]) < EMBEDDING
    if kind == "all_avg":
        loss = cross_entropy(logits, fixture["in/labels"]).mean()
        np.testing.assert_allclose(loss, fixture["out/cls_ce_all_avg"], rtol=LOSS)


SUBSETS = ("p", "s", "m", "ps", "sm", "mp", "psm")


@pytest.mark.parametrize("subset", SUBSETS)
def test_any_subset_of_modalities(fixture, output, subset):
    names = {"p": "photometry", "s": "spectrum", "m": "metadata"}
    head = head_of(fixture, "all_avg")
    params = {"dense": {"kernel": head["fc.weight"].T, "bias": head["fc.bias"]}}
    embedding = output[0]["embedding"]
    apply = MeanFusion(10).apply
    expected = fixture[f"out/cls_subset_{subset}"]
    masked = {name: jnp.full(8, key in subset) for key, name in names.items()}
    assert off(apply({"params": params}, embedding, masked)["logits"], expected) < EMBEDDING
    only = {names[key]: embedding[names[key]] for key in subset}
    present = {name: jnp.ones(8, bool) for name in only}
    assert off(apply({"params": params}, only, present)["logits"], expected) < EMBEDDING


@pytest.mark.parametrize("modality", TOWERS)
def test_classifier_of_one_tower(fixture, official, batch, modality):
    name, (model, params) = TOWERS[modality], official
    prefix = {"photometry": "photometry", "spectrum": "spectra", "metadata": "metadata"}[modality]
    theirs = to_official(params)
    tensors = {n: a for n, a in theirs.items() if n.startswith(f"{prefix}_encoder.")}
    tensors |= head_of(fixture, name)
    told, loaded = from_official(tensors, {})
    assert told["modality"] == modality and told["classes"] == 10
    classifier = TowerClassifier(model.towers[modality], modality, told["classes"])
    logits = jax.jit(classifier.apply)({"params": loaded}, batch)["logits"]
    expected = fixture[f"out/cls_{name}"]
    assert off(logits, expected) < 3e-6 * max(1, np.abs(expected).max())


def test_names_and_shapes_are_those_of_the_release(shared, official):
    import json

    path = shared / "parity" / "astrom3_state_dict.json"
    released = json.loads(path.read_text())["models"]["AstroM3-CLIP"]["tensors"]
    ours = {name: list(a.shape) for name, a in to_official(official[1]).items()}
    assert ours == {name: list(shape) for name, shape in released.items()}
    assert set(layout(ours, "")) < set(ours)
