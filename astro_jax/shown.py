"""What the report of a run shows of single objects: a map of embeddings, and the worst errors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from astro_jax.data.curves import Curves
from astro_jax.data.multimodal import Objects, Series
from astro_jax.data.transient_rows import Rows
from astro_jax.data.windows import consecutive_windows
from astro_jax.evals.space import fused
from astro_jax.infer import curve_vectors, encoder_of, reconstruct
from astro_jax.multimodal_infer import encode_all
from astro_jax.report_html import Axes, Map, Plot
from astro_jax.supervised import Task
from astro_jax.transient_prediction import network_outputs
from astro_jax.weights import Run, load

MOST = 300  # objects on a map: with their light curves about a megabyte
WORST = 9
PROBED = 128  # windows that are reconstructed, some seconds on a CPU
SHORTEST = 5  # observations of a window that is reconstructed, as `data.min_points`
MOST_CLASSES = 30  # of a column that colours a map
MAGNITUDES = Axes("time (MJD)", "magnitude", down=True)
HIDDEN = Axes("time (MJD)", "magnitude", True, ("visible", "hidden, true", "hidden, predicted"))


class Shown(NamedTuple):
    """A map, None where there is none, and the worst objects under a heading."""

    map: Map | None
    worst: Sequence[Plot]
    axes: Axes
    heading: str


class Probed(NamedTuple):
    """A window of a curve of which a third was hidden.

    curve: its number; time: [n] MJD; mag, predicted: [n], the latter NaN where visible; hidden: [n]
    bool; rmse: at the hidden points, mag
    """

    curve: int
    time: np.ndarray
    mag: np.ndarray
    hidden: np.ndarray
    predicted: np.ndarray
    rmse: float


def show_reconstruction(trained: Run, curves: Curves, seed: int) -> Shown:
    """Return the map of some curves by the encoder, and the windows that it predicts worst."""
    some = curves.take(sample(len(curves), MOST, seed))
    vectors = curve_vectors(trained, some, windows=1)
    labels = colours(some)
    found = probe_windows(trained, curves, seed)
    worst = [
        Plot(name_of(curves, p.curve), f"RMSE {p.rmse:.3f} mag at hidden points", *hidden_points(p))
        for p in sorted(found, key=lambda p: -p.rmse)[:WORST]
    ]
    told = f"Of {len(found)} windows of the same part, a third of each hidden"
    shown = map_of(vectors, labels, curve_plots(some, labels), MAGNITUDES, "summary vectors")
    return Shown(shown, worst, HIDDEN, f"Worst reconstructions. {told}")


def show_classes(task: Task, workdir: Path, seed: int) -> Shown:
    """Return the map of some test curves, and those that are wrong with most confidence."""
    trained, classes = load(workdir), task.facts["classes"]
    table = pq.read_table(workdir / "test_predictions.parquet")
    test, codes = task.test, task.test.arrays["label"]
    rows = sample(len(test), MOST, seed)
    labels = [classes[k] for k in codes[rows]]
    notes = [told_class(table, int(k)) for k in rows]
    plots = [curve_plot(test, int(k), note) for k, note in zip(rows, notes, strict=True)]
    vectors, of = label_vectors(trained, test.take(rows), table, rows)
    wrong = [curve_plot(test, k, told_class(table, k)) for k in confidently_wrong(table)]
    shown = map_of(vectors, labels, plots, MAGNITUDES, of)
    return Shown(shown, wrong, MAGNITUDES, "Wrong with most confidence")


def label_vectors(
    trained: Run, curves: Curves, table: Any, rows: np.ndarray
) -> tuple[np.ndarray, str]:
    """Return what a map of labelled curves is made from [N, V], and its name.

    The encoder's vectors; of a head that reads raw curves, its probabilities.
    """
    if "encoder" in trained.params:
        return curve_vectors(trained, curves, windows=1), "summary vectors of the encoder"
    return probabilities(table)[rows], "probabilities"


def show_values(task: Task, workdir: Path, seed: int) -> Shown:
    """Return the map of some test curves by the encoder, and those of the largest error."""
    trained, test, name = load(workdir), task.test, task.facts["target"]
    table = pq.read_table(workdir / "test_predictions.parquet")
    told, truth = (table[n].to_numpy() for n in ("prediction", "target"))
    notes = [f"{name} {t:.4g}, predicted {p:.4g}" for t, p in zip(truth, told, strict=True)]
    worst = np.argsort(-np.abs(told - truth))[:WORST]
    rows = sample(len(test), MOST, seed)
    edges = np.unique(np.quantile(truth, [0.0, 0.25, 0.5, 0.75, 1.0]))
    ranges = [f"{name} {a:.3g} to {b:.3g}" for a, b in zip(edges, edges[1:], strict=False)]
    place = np.clip(np.digitize(truth[rows], edges) - 1, 0, max(len(ranges) - 1, 0))
    labels = [(ranges or [name])[k] for k in place]
    plots = [curve_plot(test, int(k), notes[k]) for k in rows]
    shown = None
    if "encoder" in trained.params:
        vectors = curve_vectors(trained, test.take(rows), windows=1)
        shown = map_of(vectors, labels, plots, MAGNITUDES, "summary vectors of the encoder")
    shown = shown and shown._replace(names=tuple(ranges))
    far = [curve_plot(test, int(k), notes[k]) for k in worst]
    return Shown(shown, far, MAGNITUDES, "Largest errors")


def show_transients(task: Task, workdir: Path, seed: int) -> Shown:
    """Return the map of some test transients, and those that are wrong with most confidence."""
    trained, classes = load(workdir), task.facts["classes"]
    test = task.test if len(task.test) else task.valid
    table = pq.read_table(workdir / "test_predictions.parquet")
    bands = tuple(f"{1000 * w:.0f} nm" for w in np.unique(test.values[:, 0].round(3)))
    axes = Axes("days since the trigger, observer's frame", "flux, scaled", False, bands)
    rows = sample(len(test), MOST, seed)
    labels = [classes[k] for k in test.arrays["label"][rows]]
    plots = [transient_plot(test, int(k), told_class(table, int(k))) for k in rows]
    vectors = network_outputs(trained, test.take(rows))["embedding"]
    wrong = [transient_plot(test, k, told_class(table, k)) for k in confidently_wrong(table)]
    shown = map_of(vectors, labels, plots, axes, "the latent vectors of the network")
    return Shown(shown, wrong, axes, "Wrong with most confidence")


def transient_plot(rows: Rows, k: int, note: str) -> Plot:
    """Return the light curve of transient k, a group a band."""
    part = slice(rows.offsets[k], rows.offsets[k + 1])
    bands = np.unique(rows.values[:, 0].round(3))
    group = np.searchsorted(bands, rows.values[part, 0].round(3))
    return Plot(id_of(rows, k), note, rows.since[part], rows.values[part, 2], group)


def show_objects(task: Task, workdir: Path, seed: int) -> Shown:
    """Return the map of some test objects; and those wrong, or matched worst, the worst first."""
    trained, classes = load(workdir), task.facts.get("classes", [])
    test = task.test if len(task.test) else task.valid
    axes = Axes("phase, or time as scaled", "flux, scaled")
    if not classes:
        return show_space(trained, test, axes, seed)
    test = test.take(test.arrays["label"] >= 0)
    table = pq.read_table(workdir / "test_predictions.parquet")
    rows = sample(len(test), MOST, seed)
    labels = [classes[k] for k in test.arrays["label"][rows]]
    plots = [object_plot(test, int(k), told_class(table, int(k))) for k in rows]
    vectors, of = probabilities(table)[rows], "probabilities"
    if "modality" not in trained.config.model:
        vectors, of = fused(encode_all(trained, test.take(rows))), "fused vectors of the space"
    wrong = [object_plot(test, k, told_class(table, k)) for k in confidently_wrong(table)]
    shown = map_of(vectors, labels, plots, axes, of)
    return Shown(shown, wrong, axes, "Wrong with most confidence")


def show_space(trained: Run, objects: Objects, axes: Axes, seed: int) -> Shown:
    """Return the map of objects in one space, and those whose modalities agree least."""
    some = objects.take(sample(len(objects), MOST, seed))
    vectors = encode_all(trained, some)
    stacked = np.stack(list(vectors.values()))
    mean = np.nanmean([(a * b).sum(1) for k, a in enumerate(stacked) for b in stacked[:k]], axis=0)
    notes = [f"mean cosine between modalities {c:.3f}" for c in mean]
    plots = [object_plot(some, k, note) for k, note in enumerate(notes)]
    order = [k for k in np.argsort(mean) if np.isfinite(mean[k])][:WORST]
    shown = map_of(fused(vectors), colours(some), plots, axes, "fused vectors of the space")
    return Shown(shown, [plots[k] for k in order], axes, "Objects whose modalities agree least")


def object_plot(objects: Objects, k: int, note: str) -> Plot:
    """Return the light curve of object k, by the catalogue's period where that is known."""
    name = next((n for n, p in objects.parts.items() if isinstance(p, Series)), None)
    if name is None or not objects.parts[name].lengths[k]:
        return Plot(id_of(objects, k), f"{note}; no light curve", np.zeros(0), np.zeros(0))
    part = objects.parts[name]
    values = part.values[part.offsets[k] : part.offsets[k + 1]]
    return Plot(id_of(objects, k), note, phase(objects, part, values, k), values[:, 1])


def phase(objects: Objects, part: Series, values: np.ndarray, k: int) -> np.ndarray:
    """Return the phase by the catalogue's period where it is known, else the scaled time."""
    columns = objects.columns.column_names
    period = objects.columns["period"][k].as_py() if "period" in columns else None
    if not period or not len(values):
        return values[:, 0]
    days = values[:, 0] * 365.0 * values[0, list(part.channels).index("span")]
    return (days / period) % 1.0


# What all of them share


def sample(size: int, most: int, seed: int) -> np.ndarray:
    """Return at most so many of `size` rows, in order, drawn by the seed."""
    if size <= most:
        return np.arange(size)
    return np.sort(np.random.default_rng(seed).choice(size, most, replace=False))


def map_of(
    vectors: np.ndarray, labels: Sequence[str], plots: Sequence[Plot], axes: Axes, of: str
) -> Map | None:
    """Return the first two principal components of vectors [N, V]; None for fewer than 2 objects.

    Objects without a finite vector are left out.
    """
    rows = np.flatnonzero(np.isfinite(vectors).all(1))
    if len(rows) < 2:
        return None
    centred = vectors[rows].astype(float) - vectors[rows].mean(0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(rows), 2))
    points[:, : min(2, len(scale))] = (left * scale)[:, :2]
    share = (scale[:2] ** 2).sum() / max((scale**2).sum(), 1e-30)
    told = (
        f"{len(rows)} objects by the first two principal components of {of}, which hold "
        f"{100 * share:.0f} % of the variance."
    )
    return Map(points, [labels[k] for k in rows], [plots[k] for k in rows], axes, told)


def colours(data: Curves | Objects) -> list[str]:
    """Return what colours a map where nothing was learned from labels: label, band, or nothing."""
    for name in ("label", "band"):
        if name in data.columns.column_names:
            texts = ["unknown" if v is None else str(v) for v in data.columns[name].to_pylist()]
            if 1 < len(set(texts)) <= MOST_CLASSES:
                return texts
    return ["objects"] * len(data)


def curve_plots(curves: Curves, notes: Sequence[str]) -> list[Plot]:
    """Return the plots of all curves."""
    return [curve_plot(curves, k, note) for k, note in enumerate(notes)]


def curve_plot(curves: Curves, k: int, note: str) -> Plot:
    """Return the plot of curve k."""
    part = slice(curves.offsets[k], curves.offsets[k + 1])
    return Plot(name_of(curves, k), note, curves.time[part], curves.mag[part])


def id_of(data: Any, k: int) -> str:
    """Return the id of object k as text."""
    return str(data.columns["id"][int(k)].as_py())


def name_of(data: Any, k: int) -> str:
    """Return the id, and the band where there is one, of object k."""
    row = data.columns.slice(int(k), 1).to_pylist()[0]
    return " ".join(str(row[c]) for c in ("id", "band") if row.get(c) is not None)


def probabilities(table: Any) -> np.ndarray:
    """Return the probabilities of a table of predictions, [N, C]."""
    names = [name for name in table.column_names if name.startswith("prob_")]
    return np.stack([table[name].to_numpy().astype(float) for name in names], axis=1)


def confidently_wrong(table: Any) -> list[int]:
    """Return rows whose prediction is not their label, those of the highest probability first."""
    told, truth = table["prediction"].to_pylist(), table["label"].to_pylist()
    best = np.nan_to_num(probabilities(table), nan=-1.0).max(1)
    order = np.argsort(-best, kind="stable").tolist()
    return [k for k in order if told[k] != truth[k] and best[k] >= 0][:WORST]


def told_class(table: Any, k: int) -> str:
    """Return the class of row k and what was predicted."""
    row = table.slice(k, 1).to_pylist()[0]
    best = row.get(f"prob_{row['prediction']}")
    share = "" if best is None else f" ({best:.2f})"
    return f"is {row['label']}, predicted {row['prediction']}{share}"


def probe_windows(trained: Run, curves: Curves, seed: int, most: int = PROBED) -> list[Probed]:
    """Hide a third of some windows of curves, predict it; all as the run reconstructs.

    Windows of fewer than SHORTEST observations are left out; drawn by the seed.
    """
    trained = encoder_of(trained)
    windows = consecutive_windows(curves.lengths, trained.config.window)
    long = np.flatnonzero(windows.size >= SHORTEST)
    chosen = long[sample(len(long), most, seed)]
    pieces, hidden = [], []
    for w in chosen:
        first = curves.offsets[windows.curve[w]] + windows.start[w]
        part = slice(first, first + windows.size[w])
        pieces.append(np.stack([curves.time[part], curves.mag[part]], axis=1, dtype=float))
        draw = np.random.default_rng([seed, int(w)]).permutation(windows.size[w])
        hidden.append(draw < max(windows.size[w] // 3, 1))
    predicted = reconstruct(trained, pieces, hidden) if pieces else []
    return [
        Probed(int(windows.curve[w]), *piece.T, hide, told, rms(told - piece[:, 1]))
        for w, piece, hide, told in zip(chosen, pieces, hidden, predicted, strict=True)
    ]


def probed_errors(trained: Run, curves: Curves, seed: int) -> dict[str, np.ndarray]:
    """Return the errors of some windows of curves, as `quantiles` keeps and `doctor` compares them.

    In magnitudes, and over the scatter of the visible points; [W] each.
    """
    found = probe_windows(trained, curves, seed)
    error = np.array([p.rmse for p in found])
    scatter = np.array([np.std(p.mag[~p.hidden]) for p in found])
    return {
        "reconstruction error (mag)": error,
        "reconstruction error over scatter": error / np.maximum(scatter, 1e-6),
    }


def rms(values: np.ndarray) -> float:
    """Return the root mean square of what is finite, NaN if nothing is."""
    known = values[np.isfinite(values)]
    return float(np.sqrt((known**2).mean())) if len(known) else float("nan")


def hidden_points(probed: Probed) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y and group of a probed window, as HIDDEN names them."""
    hide = probed.hidden
    x = np.concatenate([probed.time, probed.time[hide]])
    y = np.concatenate([probed.mag, probed.predicted[hide]])
    return x, y, np.concatenate([hide.astype(int), np.full(int(hide.sum()), 2)])
