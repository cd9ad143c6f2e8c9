"""bfloat16 activations: what stays float32, and how far results move."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import config_of, toy_curves

from astro_jax.data.curves import from_arrays
from astro_jax.models.astrom3 import (
    AstroM3,
    FusedClassifier,
    Informer,
    MeanFusion,
    Metadata,
    OfficialInformer,
)
from astro_jax.models.astromer import Astromer2, Official, Paper, Smoother
from astro_jax.nn.precision import with_settings
from astro_jax.spec import spec
from astro_jax.summary import read_metrics
from astro_jax.train import train

pytestmark = pytest.mark.usefixtures("hastily")
SIZES = {"width": 32, "heads": 2, "ffn": 32, "blocks": 2}
ASTROMER = [Official, Paper, Astromer2, Smoother]
INFORMER = [OfficialInformer, Informer]


def inputs_of(kind):
    rng = np.random.default_rng(0)
    mask = np.arange(24) < np.array([24, 17, 9])[:, None]
    times = np.sort(rng.uniform(-90, 90, mask.shape), 1).astype(np.float32)
    values = rng.normal(size=(*mask.shape, 2 if kind in ASTROMER else 9)).astype(np.float32)
    photometry = {"times": times, "values": np.abs(values), "mask": mask}
    return ({"photometry": photometry},) if kind in ASTROMER else (photometry, None)


def vectors_of(kind, dtype, params=None):
    """Return (parameters, vectors [n, D] of what is observed, jaxpr of the network)."""
    model, inputs = kind(**SIZES, dtype=dtype), inputs_of(kind)
    if params is None:
        params = jax.jit(model.init)(jax.random.key(0), *inputs)

    def run(params):
        output = model.apply(params, *inputs)
        if kind not in ASTROMER:
            return output
        return output["embedding"][np.nonzero(inputs[0]["photometry"]["mask"])]

    return params, jax.jit(run)(params), jax.make_jaxpr(run)(params)


@pytest.mark.parametrize("kind", ASTROMER + INFORMER, ids=lambda k: f"{k.__module__}.{k.__name__}")
def test_vectors_hardly_turn(kind):
    params, exact, _ = vectors_of(kind, "float32")
    same, rough, jaxpr = vectors_of(kind, "bfloat16", params)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(same))
    assert rough.dtype == exact.dtype == jnp.float32
    cosine = (rough * exact).sum(-1) / jnp.linalg.norm(rough, axis=-1)
    cosine = cosine / jnp.linalg.norm(exact, axis=-1)
    assert cosine.min() > 0.999
    assert np.abs(rough - exact).max() > 1e-5  # it did compute in bfloat16
    text = str(jaxpr)
    assert "bf16" in text
    for line in text.splitlines():  # softmax, time angles and the roots of norms
        for name in (" exp ", " sin ", " rsqrt "):
            assert name not in line or "bf16" not in line.partition(" = ")[0], line


def test_every_part_that_has_a_type_takes_it():
    towers = {"photometry": Informer(**SIZES), "metadata": Metadata(width=8)}
    model = FusedClassifier(AstroM3(towers, space=8), MeanFusion(classes=3))
    told = with_settings(model, dtype="bfloat16", attention="fused")
    assert told.encoder.towers["photometry"] == Informer(
        **SIZES, dtype="bfloat16", attention="fused"
    )
    assert told.encoder.towers["metadata"] == towers["metadata"]
    assert told.head == model.head and hash(told) != hash(model)
    assert with_settings(told, dtype="float32", attention="einsum") == model


@pytest.mark.parametrize("kind", [*ASTROMER, Informer], ids=lambda k: k.__name__)
def test_fused_attention_gives_the_same_vectors(kind):
    params, plain, _ = vectors_of(kind, "float32")
    fused = kind(**SIZES, attention="fused").apply(params, *inputs_of(kind))
    if kind in ASTROMER:
        fused = fused["embedding"][np.nonzero(inputs_of(kind)[0]["photometry"]["mask"])]
    np.testing.assert_allclose(fused, plain, atol=2e-5)


def test_training_in_bfloat16_is_near_that_in_float32(tmp_path):
    config = config_of("pretrain_macho")
    config.model = spec(Paper, **SIZES)
    config.update(batch_size=8, window=32, steps=6, eval_every=6, eval_windows=0, log_every=6)
    curves, valid = from_arrays(toy_curves(8, 60)), from_arrays(toy_curves(6, 40, seed=1))
    found = {}
    for dtype in ("float32", "bfloat16"):
        config.dtype = dtype
        (tmp_path / dtype).mkdir()
        state = train(config, curves, valid, tmp_path / dtype).state
        assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(state.params))
        found[dtype] = read_metrics(tmp_path / dtype / "metrics.jsonl")[-1]["rmse_hidden"]
    assert found["bfloat16"] == pytest.approx(found["float32"], rel=0.01)
    assert found["bfloat16"] != found["float32"]
