"""A model as a folder to give away, official weights from a server, configs that name code."""

import functools
import http.server
import json
import threading

import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny import toy_curves

import astro_jax
from astro_jax import exchange, fetch
from astro_jax.errors import UserError
from astro_jax.spec import check_loaded
from astro_jax.tree import flatten
from astro_jax.weights import load


@pytest.fixture
def given(finished, tmp_path):
    """Return a folder of `save_pretrained`."""
    astro_jax.save_pretrained(load(finished), tmp_path / "model")
    return tmp_path / "model"


def test_a_folder_gives_the_same_run_back(finished, given):
    run, again = load(finished), load(given)
    assert again.config.to_dict() == run.config.to_dict() and again.step == run.step
    ours, theirs = flatten(again.params), flatten(run.params)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name])
    curves = toy_curves(3)
    for left, right in zip(
        astro_jax.encode(again, curves), astro_jax.encode(run, curves), strict=True
    ):
        np.testing.assert_array_equal(left, right)
    assert {p.name for p in given.iterdir()} == {
        "model.safetensors",
        "config.json",
        "README.md",
        "SHA256SUMS",
    }
    told = (given / "README.md").read_text()
    assert "Smoother" in told and f"{sum(v.size for v in ours.values()):,} parameters" in told


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md"])
def test_a_changed_or_missing_file_is_never_used(given, name):
    whole = (given / name).read_bytes()
    (given / name).write_bytes(whole[:-2] + b"x" + whole[-1:])
    with pytest.raises(UserError, match=f"{name} is not what was written"):
        load(given)
    (given / name).unlink()
    with pytest.raises(UserError, match=f"{name} cannot be read"):
        load(given)


@pytest.mark.parametrize("text", ["", "abc\n", f"{'0' * 64}  ../model.safetensors\n"])
def test_damaged_sums(given, text):
    (given / "SHA256SUMS").write_text(text)
    with pytest.raises(UserError, match="SHA256SUMS"):
        load(given)


@pytest.mark.parametrize(
    "target", ["os:system", "astro_jax.workdir:write_text", "subprocess:run", "astro_jax.nn.x:y"]
)
def test_loading_runs_no_code_of_others(given, target):
    told = json.loads((given / "config.json").read_text())
    told["config"]["model"]["target"] = target
    (given / "config.json").write_text(json.dumps(told))
    names = ("model.safetensors", "config.json", "README.md")
    sums = [f"{fetch.digest(given / name)}  {name}\n" for name in names]
    (given / "SHA256SUMS").write_text("".join(sums))
    with pytest.raises(UserError, match=target):
        load(given)


def test_targets_are_found_wherever_they_are():
    inner = {"objective": {"augment": {"target": "os:system"}}}
    for config in (inner, {"inputs": {"x": "os:system"}}, {"towers": [{"a": inner}]}):
        with pytest.raises(UserError, match="os:system"):
            check_loaded(ConfigDict(config), "somewhere")
        check_loaded(ConfigDict(config), "somewhere", trust=("os",))
    with pytest.raises(UserError, match="not defined there"):  # imported there, not its own
        check_loaded({"target": "astro_jax.models.astromer:Array"}, "somewhere")
    check_loaded({"target": "log_period", "job": "os:system"}, "somewhere")  # never called


# Official weights


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve a folder; return it and its address, and keep the cache in another."""
    folder = tmp_path / "server"
    folder.mkdir()
    monkeypatch.setenv("ASTRO_JAX_CACHE", str(tmp_path / "cache"))
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that logs nothing."""

    def log_message(self, *words):
        """Say nothing."""


def test_official_weights_are_fetched_once(server, shared, monkeypatch):
    folder, address = server
    content = (shared / "weights" / "macho_a0.zip").read_bytes()
    (folder / "macho_a0.zip").write_bytes(content)
    monkeypatch.setitem(fetch.REMOTE, "macho", fetch.REMOTE["macho"]._replace(folder=address))
    run = load("macho")
    assert sum(v.size for v in flatten(run.params).values()) == 661_505  # the spec's count
    (folder / "macho_a0.zip").unlink()
    assert load("macho").config == run.config  # from the cache
    cached = fetch.cache_folder() / "macho_a0.zip"
    cached.write_bytes(content[:1000])
    with pytest.raises(UserError, match="cannot be downloaded"):
        load("macho")  # what was changed is not used
    (folder / "macho_a0.zip").write_bytes(content)
    assert load("macho").config == run.config and cached.read_bytes() == content


def test_a_wrong_or_partial_download_is_refused(server):
    folder, address = server
    remote = fetch.Remote("x.zip", address, "0" * 64, 100)
    for content, message in ((b"a" * 100, "not the file"), (b"a" * 99, "ended after 99")):
        (folder / "x.zip").write_bytes(content)
        with pytest.raises(UserError, match=message):
            fetch.fetch("x", remote)
    (folder / "x.zip").write_bytes(b"a" * 101)
    with pytest.raises(UserError, match="longer"):
        fetch.fetch("x", remote)
    assert not list(fetch.cache_folder().iterdir())


def test_the_address_and_the_way_out_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("ASTRO_JAX_CACHE", str(tmp_path))
    remote = fetch.Remote("x.zip", "http://127.0.0.1:9", "0" * 64, 100)
    with pytest.raises(UserError, match=f"http://127.0.0.1:9/x.zip .* put the file at {tmp_path}"):
        fetch.fetch("x", remote)
    assert exchange.is_pretrained(tmp_path) is False
