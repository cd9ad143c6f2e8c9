"""Specs: calls as plain data."""

import json

import pytest

from astro_jax.errors import UserError
from astro_jax.models.astromer import Paper
from astro_jax.optim import adam, constant
from astro_jax.spec import build, resolve, spec


def pair(first, second):
    return first, second


def test_builds_what_it_describes():
    assert build(spec(Paper, width=32, heads=2)) == Paper(width=32, heads=2)


def test_survives_json():
    described = spec(Paper, width=32)
    assert build(json.loads(json.dumps(described.to_dict()))) == Paper(width=32)


def test_inner_specs_are_built_first():
    optimizer = build(spec(adam, schedule=spec(constant, rate=0.1), b2=0.98))
    assert callable(optimizer.update)
    assert build(spec(pair, first={"in": spec(Paper)}, second=2)) == ({"in": Paper()}, 2)


def test_a_sequence_from_json_is_a_tuple():
    described = json.loads(json.dumps(spec(pair, first=(1, [2, 3]), second="x").to_dict()))
    assert build(described) == ((1, (2, 3)), "x")


def test_more_arguments_are_passed_on():
    assert build(spec(Paper, width=32), heads=8) == Paper(width=32, heads=8)


def test_wrong_argument_is_refused_where_it_is_written():
    with pytest.raises(UserError, match="Paper takes no 'widht' .did you mean 'width'"):
        spec(Paper, widht=32)


def test_wrong_argument_in_data_is_refused_when_built():
    described = {"target": "astro_jax.models.astromer:Paper", "depth": 3}
    with pytest.raises(UserError, match="Paper takes no 'depth'"):
        build(described)


@pytest.mark.parametrize(
    "target", ["astro_jax.models.astromer:Papper", "astro_jax.nowhere:Paper", "Paper", "", ":x"]
)
def test_unknown_target_is_refused(target):
    with pytest.raises(UserError, match=f"no target '{target}'"):
        resolve(target)
