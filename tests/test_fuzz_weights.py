"""Damaged weights of every kind: they load, or one line names the file; and archives that attack.

What is damaged is seen where the format has checksums (zip, TensorFlow, our files); Keras' and
others' files have none, so that a changed digit of a weight cannot be told there.
"""

import pickle
import random
import zipfile

import jax
import numpy as np
import pytest
from fuzz_weights import Weights, npz, small_run, weight_samples, zipped
from mutations import damages
from test_fuzz_readers import in_time

import astro_jax
from astro_jax.errors import UserError
from astro_jax.interop import tensorflow

h5py = pytest.importorskip("h5py", reason="extra `keras`: h5py")
FEW, MANY = 8, 60  # cases of each of the 15 files
CHECKED = ("own", "given/model.safetensors", "npz", "archive", "zip")


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> list[Weights]:
    """Return valid weights of every kind."""
    return [*weight_samples(tmp_path_factory.mktemp("weights"))]


def put(files: dict[str, bytes], folder) -> None:
    """Write files by name below a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def values(params) -> list[bytes]:
    """Return the bytes of all parameters."""
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(params)]


def survive(samples: list[Weights], cases: range, folder) -> tuple[int, int]:
    """Load the damaged weights; return how many were refused, and how many could be loaded."""
    counts, problems = [0, 0], []
    for sample in samples:
        put(sample.files, folder / "whole" / sample.name)
        whole = values(astro_jax.load(folder / "whole" / sample.name / sample.main).params)
        for case in cases:
            rng = random.Random(f"{sample.name} {case}")
            place = folder / f"{sample.name} {case}"
            content = rng.choice(damages(sample.kind))(sample.files[sample.damaged], rng)
            put({**sample.files, sample.damaged: content}, place)
            try:
                with in_time():
                    run = astro_jax.load(place / sample.main)
                same = values(run.params) == whole
                assert same or sample.name not in CHECKED, "loaded as what it is not"
                counts[1] += 1
            except UserError as error:
                told = str(error)
                if str(place) not in told or len(told) > 1200 or not told.isprintable():
                    problems.append(f"{sample.name} {case}: {told}"[:400])
                counts[0] += 1
            except Exception as error:
                problems.append(f"{sample.name} {case}: {type(error).__name__}: {error}"[:400])
    assert not problems, "\n".join(problems)
    return counts[0], counts[1]


def test_damaged_weights_are_refused_in_one_line(samples, tmp_path):
    refused, loaded = survive(samples, range(FEW), tmp_path)
    assert refused + loaded >= 100 and refused > 60


@pytest.mark.slow
def test_many_damaged_weights(samples, tmp_path):
    refused, loaded = survive(samples, range(FEW, MANY), tmp_path)
    assert refused + loaded >= 600
    print(f"\n{refused + loaded} damaged weights: {refused} refused, {loaded} loaded")


def refused(path, *words) -> None:
    """Check that a file is refused in one line that holds `words`, and that nothing is unpacked."""
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(UserError) as error:
        astro_jax.load(path)
    for word in (path.name, *words):
        assert word in str(error.value)
    assert sorted(path.parent.rglob("*")) == before


@pytest.mark.parametrize("name", ["../weights.index", "/weights.index", "C:\\weights.index"])
def test_a_zip_that_names_a_file_outside_itself(tmp_path, name):
    (tmp_path / "w.zip").write_bytes(zipped({name: b"x", "weights.index": b"x"}))
    refused(tmp_path / "w.zip", "outside itself")


def test_a_link_in_a_zip_is_read_as_what_it_holds(tmp_path, samples):
    """A link is a small text in the archive: it is no index, and nothing is followed."""
    link = zipfile.ZipInfo("weights.index")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    refused(tmp_path / "w.zip", "too few for an index")


def test_bombs_of_zip_and_npz(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorflow, "MAX_UNPACKED", 1 << 20)
    monkeypatch.setattr("astro_jax.interop.archive.MAX_UNPACKED", 1 << 20)
    zeros = bytes(8 << 20)
    (tmp_path / "w.zip").write_bytes(
        zipped({"weights.index": zeros, "weights.data-00000-of-00001": b""})
    )
    refused(tmp_path / "w.zip", "unpacks to 8388608 bytes")
    np.savez_compressed(tmp_path / "w.npz", x=np.zeros(1 << 20))
    assert (tmp_path / "w.npz").stat().st_size < 20_000
    refused(tmp_path / "w.npz", "it unpacks to")


def test_an_array_that_declares_more_than_there_is(tmp_path):
    head = (
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (250000000000,), }".ljust(117) + b"\n"
    )
    array = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(64)
    (tmp_path / "w.npz").write_bytes(zipped({"x.npy": array}))
    refused(tmp_path / "w.npz", "damaged")


class Attack:
    """What a pickle would run."""

    def __reduce__(self):
        return (print, ("executed",))


def test_nothing_is_unpickled(tmp_path, capsys):
    content = npz({"x": np.zeros(2)})
    np.savez(tmp_path / "w.npz", x=np.array([Attack()], object))
    refused(tmp_path / "w.npz", "Object arrays cannot be loaded")
    assert pickle.dumps(Attack()) and len(content)
    (tmp_path / "w.safetensors").write_bytes(pickle.dumps(Attack()))
    refused(tmp_path / "w.safetensors", "cannot be read")
    assert "executed" not in capsys.readouterr().out


def test_a_keras_file_that_declares_too_much_or_names_other_files(tmp_path, samples):
    whole = next(s for s in samples if s.name == "h5").files["w.h5"]
    for name in ("huge.h5", "outside.h5", "linked.h5"):
        (tmp_path / name).write_bytes(whole)
    kernel = "model_weights/latent/latent/kernel:0"
    with h5py.File(tmp_path / "huge.h5", "a") as file:
        del file[kernel]
        file.create_dataset(kernel, (10**6, 10**6), "f4", chunks=(100, 100))  # takes no room
    refused(tmp_path / "huge.h5", "declares 4000000000000 bytes")
    (tmp_path / "secret").write_bytes(bytes(80))
    with h5py.File(tmp_path / "outside.h5", "a") as file:
        del file[kernel]
        file.create_dataset(kernel, (5, 4), "f4", external=[(str(tmp_path / "secret"), 0, 80)])
    refused(tmp_path / "outside.h5", "names a file outside itself")
    with h5py.File(tmp_path / "linked.h5", "a") as file:
        del file["model_weights/latent"]
        file["model_weights/latent"] = h5py.ExternalLink("w.h5", "model_weights/latent")
    (tmp_path / "w.h5").write_bytes(whole)
    refused(tmp_path / "linked.h5", "not a network of AstroMCAD")


def test_a_parameter_of_our_own_file_that_changed_is_seen(tmp_path):
    path = tmp_path / "own.safetensors"
    astro_jax.save_safetensors(small_run(), path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    refused(path, "not what was saved")
