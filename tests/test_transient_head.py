"""Which outputs of a base stay when it is transferred."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from astro_jax.errors import UserError
from astro_jax.models.transient import Transient
from astro_jax.transient_head import kept_outputs, leaves_of, warm_start

FINE = ["AGN", "SNII", "SNIIn", "SNIa", "SNIb", "SNIc"]


def base(classes=FINE, leaves=()):
    model = Transient(classes=len(classes), width=4, latent_width=3, features=0, leaves=leaves)
    batch = {
        "photometry": {
            "values": np.random.default_rng(0).random((2, 5, 4)).astype(np.float32),
            "mask": np.ones((2, 5), bool),
        }
    }
    params = jax.jit(model.init)(jax.random.key(0), batch)["params"]
    return SimpleNamespace(
        config=ConfigDict({"classes": classes}), model=model, params=params
    ), batch


def test_types_keep_the_outputs_of_their_sub_types():
    kept = kept_outputs(base()[0], ["SNII", "SNIa", "SNIb/c"])
    assert kept == [(1, 0), (2, 0), (3, 1), (4, 2), (5, 2)]
    assert leaves_of(kept, 3) == [0, 0, 1, 2, 2]


def test_a_sub_type_that_is_a_class_of_the_target_goes_to_itself():
    assert kept_outputs(base()[0], ["SNIIn", "SNII"]) == [(2, 0), (1, 1)]


def test_blanks_in_a_name_count_for_nothing():
    """Catalogues write SN Ia; the classes keep the file's spelling, the outputs those of SNIa."""
    assert kept_outputs(base()[0], ["SN II", "SN Ia", "SN Ib/c"]) == kept_outputs(
        base()[0], ["SNII", "SNIa", "SNIb/c"]
    )
    kept = kept_outputs(base()[0], ["SNII", "SNIa", "SNIbc"])
    assert kept == kept_outputs(base()[0], ["SNII", "SNIa", "SNIb/c"])
    assert kept_outputs(base()[0], ["SNIa", "SN Ia", "SNII"]) is None  # one output, two classes


def test_the_same_classes_keep_one_output_each():
    kept = kept_outputs(base()[0], FINE)
    assert kept == [(k, k) for k in range(6)] and leaves_of(kept, 6) == []


def test_a_base_with_sub_types_of_its_own():
    coarse, _ = base(["SNII", "SNIa"], leaves=(0, 0, 1))
    assert kept_outputs(coarse, ["SNIa", "SNII"]) == [(2, 0), (0, 1), (1, 1)]


def test_an_unknown_class_replaces_the_head_unless_it_must_stay():
    assert kept_outputs(base()[0], ["SNIa", "LRN"]) is None and leaves_of(None, 2) == []
    assert kept_outputs(base()[0], ["SNIa", "SNII"], "replace") is None
    with pytest.raises(UserError, match=r"head=keep: .*SNIIn.* have none for LRN"):
        kept_outputs(base()[0], ["SNIa", "LRN"], "keep")
    with pytest.raises(UserError, match="config.head='kept' is unknown"):
        kept_outputs(base()[0], ["SNIa"], "kept")


def test_the_start_says_what_the_base_says():
    run, batch = base()
    classes = ["SNII", "SNIa", "SNIb/c"]
    target = run.model.clone(classes=3, leaves=(0, 0, 1, 2, 2))
    drawn = jax.jit(target.init)(jax.random.key(7), batch)["params"]
    config = ConfigDict({"classes": classes, "head": "", "init": "base"})
    params = warm_start(config, drawn, run)
    p, q = (
        np.asarray(jax.nn.softmax(jax.jit(m.apply)({"params": x}, batch)["logits"]))
        for m, x in ((run.model, run.params), (target, params))
    )
    expected = np.stack([p[:, 1] + p[:, 2], p[:, 3], p[:, 4] + p[:, 5]], axis=1)
    np.testing.assert_allclose(q, expected / expected.sum(1, keepdims=True), rtol=1e-4)


def test_a_head_that_starts_anew_is_the_drawn_one():
    run, batch = base()
    target = run.model.clone(classes=2)
    drawn = jax.jit(target.init)(jax.random.key(7), batch)["params"]
    config = ConfigDict({"classes": ["SNIa", "LRN"], "head": "", "init": "base"})
    params = warm_start(config, drawn, run)
    np.testing.assert_array_equal(params["output"]["kernel"], drawn["output"]["kernel"])
    np.testing.assert_array_equal(params["gru_1"]["kernel"], run.params["gru_1"]["kernel"])
