"""The small figures of the paper: time encoding, magnitude projection, distributions."""

from pathlib import Path

import numpy as np
from common import HERE, NAMES, OFFICIAL, file_of, labelled, write

import astro_jax
from astro_jax.data.curves import Curves
from astro_jax.data.labels import HELD_OUT
from astro_jax.data.read import read_survey
from astro_jax.data.split import star_position
from astro_jax.nn.positional import time_encoding
from astro_jax.report import grid_figure, save_figure

NETWORKS = {"official": OFFICIAL, "base": "base"}


def encoding() -> None:
    """Draw the time encoding of one curve as an image, position by dimension (paper, Fig. 2).

    Beside it the periods of the dimensions, and where |W_in| of the magnitude lies (App. A).
    """
    curve = longest(read_survey(file_of("macho"), band="R")[0])
    times = (curve[:200, 0] - curve[:200, 0].mean()).astype(np.float32)
    figure, axes = grid_figure(1, 2, 3.0)
    for axis, base in zip(axes[0], (10000.0, 1000.0), strict=True):
        image = np.asarray(time_encoding(times[None], 256, base))[0]
        axis.imshow(image, aspect="auto", cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
        axis.set(xlabel="dimension", ylabel="observation", title=f"base {base:g}")
    save_figure(figure, HERE / "encoding.png")


def longest(curves: Curves) -> np.ndarray:
    """Return the curve with the most observations, [n, 3]."""
    return curves.curve(int(np.argmax(curves.lengths)))


def projection() -> None:
    """Draw |W_in| of the magnitude by dimension (paper, App. A); write projection.json.

    The official network feeds the magnitude only; ours also error, what is known, and scatter:
    row 0 of its kernel belongs to the magnitude.
    """
    told = {}
    figure, axes = grid_figure(2, 1, 2.2)
    for axis, (name, init) in zip(axes[:, 0], NETWORKS.items(), strict=True):
        kernel = np.abs(np.asarray(astro_jax.load(init).params["embed"]["kernel"])[0])
        order = np.argsort(-kernel)
        base, width = 10000.0, len(kernel)
        period = 2 * np.pi * base ** (2.0 * order[:3] / width)
        told[name] = {
            "largest dimensions": order[:3].tolist(),
            "|W|": [float(x) for x in kernel[order[:3]]],
            "period of their time encoding, days": [float(x) for x in period],
            "share of the square of |W| in the largest": float(
                kernel.max() ** 2 / (kernel**2).sum()
            ),
            "mean |W|": float(kernel.mean()),
        }
        axis.vlines(np.arange(width), 0, kernel, lw=1)
        axis.set(xlabel="dimension", ylabel="|W| of the magnitude", title=name)
    save_figure(figure, HERE / "projection.png")
    write("projection", told)


def distributions() -> None:
    """Draw distributions of magnitude, time step and length (paper, Figs. 6 and B.1).

    Of the stars that `base` was trained on or stopped by, all files together, and of the labelled
    curves of each survey; magnitudes as measured and minus the mean of the curve.  Writes
    distributions.json with percentiles.
    """
    every = read_survey(str(Path(file_of("macho")).parent))[0]
    seen = every.take(star_position(every.star) < HELD_OUT)
    sets = {"pre-training": seen, **{name: labelled(name)[0] for name in NAMES}}
    kinds = ("magnitude", "magnitude - mean of the curve", "time step (days)", "observations")
    figure, axes = grid_figure(2, 2, 3.2)
    told = {}
    for name, curves in sets.items():
        values = measured(curves)
        told[name] = {}
        for axis, kind, x in zip(axes.ravel(), kinds, values, strict=True):
            low, high = np.percentile(x, [0.1, 99.9])
            logarithmic = kind in kinds[2:]
            edges = (
                np.geomspace(max(low, 1e-3), high, 60)
                if logarithmic
                else np.linspace(low, high, 60)
            )
            axis.hist(x, edges, density=True, histtype="step", label=name, log=logarithmic)
            axis.set(xlabel=kind, ylabel="density", xscale="log" if logarithmic else "linear")
            marks = np.percentile(x, [5, 25, 50, 75, 95])
            told[name][kind] = {
                "count": len(x),
                "5 25 50 75 95 %": [round(float(m), 4) for m in marks],
            }
    axes[0, 0].legend(fontsize=7)
    save_figure(figure, HERE / "distributions.png")
    write("distributions", told)


def measured(curves: Curves) -> tuple[np.ndarray, ...]:
    """Return magnitudes, deviations, time steps and lengths of a survey, flat."""
    curve = np.repeat(np.arange(len(curves)), curves.lengths)
    mean = np.bincount(curve, curves.mag) / np.maximum(curves.lengths, 1)
    step = np.diff(curves.time)[np.diff(curve) == 0]
    return curves.mag, curves.mag - mean[curve], step, curves.lengths


def figures() -> None:
    """Draw all of them."""
    encoding()
    projection()
    distributions()
