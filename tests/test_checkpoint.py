"""States on disk."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astro_jax.checkpoint import fits, latest_step, load_params, resume, save, warm_start
from astro_jax.control import Control, exhausted, observe
from astro_jax.errors import UserError
from astro_jax.optim import adam, constant
from astro_jax.step import init_state


def state_at(step: int, rules=None):
    params = {"a": {"kernel": jnp.full((2, 3), step + 0.1)}, "b": {"bias": jnp.arange(3.0)}}
    state = init_state(params, adam(constant(1e-3), clip=1.0, rules=rules))
    return state.replace(step=jnp.asarray(step, jnp.int32))


@pytest.mark.parametrize("rules", [None, {"a/.*": None, "b": 0.1}])
def test_a_state_comes_back_bit_by_bit(tmp_path, rules):
    state, control = state_at(3, rules), Control(0.25, 2, 1, 3)
    save(tmp_path / "last", state, control)
    got, got_control = resume(tmp_path / "last", state_at(0, rules))
    assert got_control == control and int(got.step) == 3
    assert jax.tree.structure(got) == jax.tree.structure(state)
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(state), strict=True):
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
        assert ours.dtype == theirs.dtype


def test_nothing_saved_is_a_fresh_start(tmp_path):
    fresh = state_at(0)
    assert resume(tmp_path / "absent", fresh) == (fresh, Control())
    assert latest_step(tmp_path / "absent") is None
    assert not (tmp_path / "absent").exists()


def test_only_the_two_newest_steps_are_kept_and_none_is_written_twice(tmp_path):
    for step in (1, 2, 5):
        save(tmp_path, state_at(step), Control())
    save(tmp_path, state_at(5).replace(params={}), Control())
    assert latest_step(tmp_path) == 5
    assert {p.name for p in tmp_path.iterdir()} == {"2", "5"}
    got, control = resume(tmp_path, state_at(0))
    assert float(got.params["a"]["kernel"][0, 0]) == np.float32(5.1)
    assert control == Control()  # infinity included


def test_a_torn_save_is_passed_over(tmp_path):
    save(tmp_path, state_at(1), Control())
    torn = tmp_path / "2.orbax-checkpoint-tmp"
    torn.mkdir()
    (torn / "params").write_text("half")
    assert latest_step(tmp_path) == 1
    save(tmp_path, state_at(2), Control())
    assert latest_step(tmp_path) == 2


def test_a_damaged_checkpoint_is_one_line(tmp_path):
    save(tmp_path, state_at(1), Control())
    shutil.rmtree(tmp_path / "1" / "params")
    with pytest.raises(UserError, match="1 is damaged .*; remove the run's checkpoints") as caught:
        resume(tmp_path, state_at(0))
    assert "\n" not in str(caught.value)


def test_parameters_of_a_run(tmp_path):
    save(tmp_path / "checkpoints" / "best", state_at(4), Control())
    params, step = load_params(tmp_path)
    assert step == 4 and isinstance(params["b"]["bias"], np.ndarray)
    with pytest.raises(UserError, match="no last checkpoint yet"):
        load_params(tmp_path, "last")
    with pytest.raises(UserError, match="'best' or 'last'"):
        load_params(tmp_path, "newest")


def test_a_warm_start_says_what_does_not_fit():
    params = state_at(0).params
    same = warm_start(params, jax.tree.map(jnp.ones_like, params), "x")
    assert float(same["a"]["kernel"][0, 0]) == 1.0
    with pytest.raises(UserError, match=r"init=x .*a/kernel \(2, 3\) here, \(3, 3\) there"):
        warm_start(params, {**params, "a": {"kernel": jnp.ones((3, 3))}}, "x")
    with pytest.raises(UserError, match="b/bias .* absent there"):
        warm_start(params, {"a": params["a"]}, "x")


def test_control_keeps_the_best_and_counts_the_wait():
    control = Control()
    for step, value in enumerate([3.0, 1.0, 2.0, 1.0, float("nan")]):
        control = observe(control, value, step)
    assert control == Control(1.0, 1, 3, 4)
    assert exhausted(control, 3) and not exhausted(control, 4) and not exhausted(control, 0)


def test_trees_fit_by_paths_and_shapes():
    tree = {"a": {"kernel": np.zeros((2, 3))}, "b": np.zeros(3)}
    assert fits(tree, {"a": {"kernel": np.ones((2, 3))}, "b": jnp.ones(3)})
    assert not fits(tree, {"a": {"kernel": np.ones((3, 2))}, "b": np.ones(3)})
    assert not fits(tree, {"a": {"kernel": np.ones((2, 3))}})
    assert not fits(tree, {"a": {"weight": np.ones((2, 3))}, "b": np.ones(3)})


# Damage


def wounds(folder):
    """Yield (name, function that damages a copy of `folder`): every file cut, flipped, removed."""
    for file in sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file()):
        yield f"{file} removed", lambda at, f=file: (at / f).unlink()
        if (folder / file).stat().st_size:
            yield f"{file} cut", lambda at, f=file: cut(at / f)
            yield f"{file} flipped", lambda at, f=file: flip(at / f)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(bytes(content))


def test_damage_is_never_garbage(tmp_path, caplog):
    """Any file cut, flipped or removed: the state is exact, or the one before, or refused."""
    whole = tmp_path / "whole"
    for step in (1, 2):
        save(whole, state_at(step), Control(0.5, step))
    seen = {"exact": 0, "before": 0}
    for k, (name, damage) in enumerate(wounds(whole / "2")):
        place = tmp_path / str(k)
        shutil.copytree(whole, place)
        damage(place / "2")
        caplog.clear()
        state, control = resume(place, state_at(0))
        step = int(state.step)
        expected = state_at(step)
        for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
            assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes(), name
        assert control == Control(0.5, step) and step in (1, 2), name
        told = "step 1 is used instead of 2" in caplog.text
        vanished = not (place / "2").exists() and not told  # Orbax does not count it as saved
        assert step == 2 or told or vanished or "commit_success" in name, (name, caplog.text)
        seen["before" if step == 1 else "exact"] += 1
        save(place, state_at(3), Control())
        assert latest_step(place) == 3, name
    assert seen["before"] >= 20 and sum(seen.values()) >= 60, seen


def test_where_all_is_damaged_it_is_refused(tmp_path):
    for step in (1, 2):
        save(tmp_path, state_at(step), Control())
        files = [p for p in (tmp_path / str(step) / "params").rglob("*") if p.is_file()]
        flip(max(files, key=lambda p: p.stat().st_size))
    with pytest.raises(UserError, match="2 is damaged"):
        resume(tmp_path, state_at(0))


def test_a_value_that_changed_unseen_is_refused(tmp_path):
    """What passes all checks of the layers below fails that of ours."""
    save(tmp_path, state_at(1), Control())
    record = tmp_path / "1" / "control" / "metadata"
    told = json.loads(record.read_text())
    told["sha256"]["params"] = "0" * 64
    record.write_text(json.dumps(told))
    with pytest.raises(UserError, match="params are not what was saved"):
        resume(tmp_path, state_at(0))
