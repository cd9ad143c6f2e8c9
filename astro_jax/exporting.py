"""An encoder as one program (StableHLO) that runs without the code of this package.

from jax import export
program = export.deserialize(bytearray(open("encoder.stablehlo", "rb").read()))
embedding = program.call(times, values, mask)
"""

from pathlib import Path

import jax
import jax.numpy as jnp
from jax import Array, export

from astro_jax.errors import UserError
from astro_jax.infer import encoder_of
from astro_jax.weights import Run
from astro_jax.workdir import write_bytes

PLATFORMS = ("cpu", "cuda", "tpu")


def export_encoder(run: Run, path: str | Path) -> None:
    """Write the encoder of a run, parameters included, as a program of jax.export.

    Its arguments, for any number B of windows of any length T: times [B, T] float32, days minus the
    mean over the window (subtract in float64: a float32 MJD is off by minutes); values [B, T, 2]
    float32, magnitude minus its mean over the window, and error (0 = unknown); mask [B, T] bool,
    True = observed. It returns the embedding [B, T, D] float32; what padding holds never matters
    (except with the official weights). Lowered for CPU, CUDA and TPU; tested on CPU.
    Raises UserError for a run that is no encoder of light curves, and where the package flatbuffers
    is not installed (extra `export`).
    """
    if "modalities" in run.config or "rows" in run.config:
        raise UserError("only encoders of light curves (ASTROMER) are exported as programs")
    run = encoder_of(run)

    def encode(times: Array, values: Array, mask: Array) -> Array:
        batch = {"photometry": {"times": times, "values": values, "mask": mask}}
        return run.model.apply({"params": run.params}, batch, train=False)["embedding"]

    b, t = export.symbolic_shape("b, t")
    shapes = ((b, t), jnp.float32), ((b, t, 2), jnp.float32), ((b, t), jnp.bool_)
    arguments = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
    program = export.export(jax.jit(encode), platforms=PLATFORMS)(*arguments)
    try:
        content = program.serialize()
    except ImportError as error:
        raise UserError("export needs flatbuffers: pip install -e '.[export]'") from error
    write_bytes(Path(path), bytes(content))
