"""What an exploration shows: one page with the searches, the doubtful objects and the map."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from ml_collections import ConfigDict

from astro_jax import report_html
from astro_jax.data.multimodal import Objects, Series, Spectra
from astro_jax.report import figure_png, grid_figure
from astro_jax.report_html import Axes, Map, map_html, picture, table
from astro_jax.report_run import closing_sections, data_words
from astro_jax.shown import MOST, object_plot, phase, sample

ROWS = 4  # searches, and doubtful objects, that are drawn
HITS = 3  # of each search
LONGEST = 40  # rows of a table on the page


def write_page(
    path: Path, tables: dict[str, pa.Table], shown: dict[str, Any], title: str, config: ConfigDict
) -> None:
    """Write a self-contained HTML page: searches with cosines, doubtful objects, map, tables."""
    objects: Objects = shown["objects"]
    place = {name: k for k, name in enumerate(objects.columns["id"].to_pylist())}
    sections: list[tuple[str, str]] = [("Map", hover_map(shown))]
    for pair in _pairs(tables["search"], "from", "to"):
        rows = _searches(tables["search"], pair, place)
        name = f"Search: {pair[0]} finds {pair[1]}"
        sections.append((name, picture(figure_png(hit_figure(objects, rows)), name)))
    for pair in _pairs(tables["contrast"], "near", "far"):
        rows = _contrasts(tables["contrast"], pair, place)
        name = f"Contrast: alike in {pair[0]}, least alike in {pair[1]}"
        sections.append((name, picture(figure_png(hit_figure(objects, rows)), name)))
    odd = [row for row in tables["outliers"].slice(0, ROWS).to_pylist() if row["agreed"]]
    if odd:
        texts = [f"{r['id']}: {r.get('label')}, outlier in {r['agreed']} modalities" for r in odd]
        image = figure_png(objects_figure(objects, [place[r["id"]] for r in odd], texts))
        sections.append(("Outliers in their class", picture(image, "outliers")))
    if "doubtful" in tables and tables["doubtful"].num_rows:
        rows = tables["doubtful"].slice(0, ROWS).to_pylist()
        texts = [f"{r['id']}: {r['label']}, rather {r['suggested']}" for r in rows]
        image = figure_png(objects_figure(objects, [place[r["id"]] for r in rows], texts))
        sections.append(("Doubtful labels", picture(image, "doubtful labels")))
    if tables.get("mean_spectra"):
        image = figure_png(cluster_figure(tables))
        sections.append(("Sub-clusters", picture(image, "sub-clusters")))
    sections += [(name, table_html(found)) for name, found in tables.items()]
    sections += closing_sections(path.parent, config)
    report_html.write_page(path, f"Space of {title}", sections, data_words(config))


def _pairs(table: pa.Table, *names: str) -> list[tuple[str, str]]:
    if not table.num_rows:
        return []
    return list(dict.fromkeys(zip(*(table[name].to_pylist() for name in names), strict=True)))


def _searches(table: pa.Table, pair: tuple[str, str], place: dict[str, int]) -> list[list]:
    """Return for a few queries [(modality, row, title), ...]: the query first, then its hits."""
    rows = [r for r in table.to_pylist() if (r["from"], r["to"]) == pair and r["rank"] <= HITS]
    found: dict[str, list] = {}
    for row in rows:
        start = [(pair[0], place[row["query"]], f"{row['query']}")]
        found.setdefault(row["query"], start).append(
            (pair[1], place[row["hit"]], f"{row['hit']}, cosine {row['cosine']:.3f}")
        )
    return list(found.values())[:ROWS]


def _contrasts(table: pa.Table, pair: tuple[str, str], place: dict[str, int]) -> list[list]:
    """Return for a few queries [(modality, row, title), ...]: query and first hit in both."""
    found: dict[str, list] = {}
    for row in table.to_pylist():
        if (row["near"], row["far"]) == pair and row["query"] not in found:
            query, hit = place[row["query"]], place[row["hit"]]
            found[row["query"]] = [
                (pair[0], query, f"{row['query']}, {pair[0]}"),
                (pair[1], query, f"{row['query']}, {pair[1]}"),
                (pair[0], hit, f"{row['hit']}, cosine {row['cosine_near']:.3f}"),
                (pair[1], hit, f"{row['hit']}, cosine {row['cosine_far']:.3f}"),
            ]
    return list(found.values())[:ROWS]


def hit_figure(objects: Objects, rows: list[list]) -> Any:
    """Draw objects in a modality each, a row a query."""
    figure, axes = grid_figure(max(len(rows), 1), HITS + 1)
    for line, row in zip(axes, rows, strict=False):
        for axis, (modality, number, title) in zip(line, row, strict=False):
            draw(axis, objects, modality, number)
            axis.set_title(title, fontsize=7)
    return figure


def draw(axis: Any, objects: Objects, modality: str, number: int) -> None:
    """Draw one object in one modality: folded light curve, spectrum, or catalogue values."""
    part = objects.parts[modality]
    if isinstance(part, Series):
        values = part.values[part.offsets[number] : part.offsets[number + 1]]
        axis.plot(phase(objects, part, values, number), values[:, 1], ".", ms=2)
    elif isinstance(part, Spectra):
        if part.present[number]:
            row = part.offsets[number]
            seen = part.mask[row]
            axis.plot(part.grid[seen], part.values[row, seen, 0], lw=0.5)
    else:
        known = part.mask[number]
        axis.plot(np.flatnonzero(known), part.values[number, known], "_")
    axis.tick_params(labelsize=6)


def objects_figure(objects: Objects, numbers: list[int], titles: list[str]) -> Any:
    """Draw light curve and spectrum of objects, a row each."""
    kinds = [n for n, p in objects.parts.items() if isinstance(p, Series | Spectra)]
    figure, axes = grid_figure(len(numbers), max(len(kinds), 1))
    for line, number, title in zip(axes, numbers, titles, strict=True):
        for axis, name in zip(line, kinds, strict=False):
            draw(axis, objects, name, number)
            axis.set_title(title, fontsize=7)
    return figure


def cluster_figure(tables: dict[str, pa.Table]) -> Any:
    """Draw colour-magnitude diagram and mean spectra of the sub-clusters, a row a class."""
    members = tables["sub_clusters"].to_pylist()
    means = tables["mean_spectra"].to_pylist()
    names = sorted({row["label"] for row in means})
    unit = "" if "bp_rp" in tables["sub_clusters"].column_names else "_standardised"
    figure, axes = grid_figure(len(names), 2)
    for (left, right), name in zip(axes, names, strict=True):
        for cluster in sorted({row["cluster"] for row in means}):
            own = [r for r in members if (r["label"], r["cluster"]) == (name, cluster)]
            places = [
                (r.get(f"bp_rp{unit}", np.nan), r.get(f"absolute_g{unit}", np.nan)) for r in own
            ]
            left.plot(*np.array(places, float).reshape(-1, 2).T, ".", ms=3)
            for row in means:
                if (row["label"], row["cluster"]) == (name, cluster):
                    text = f"{cluster}: {row['objects']} spectra"
                    right.plot(row["wavelength"], row["flux"], lw=0.6, label=text)
        left.invert_yaxis()
        left.set_title(f"{name}: absolute G by BP - RP{unit.replace('_', ', ')}", fontsize=7)
        right.set_title(f"{name}: mean spectra", fontsize=7)
        right.legend(fontsize=5)
        for axis in (left, right):
            axis.tick_params(labelsize=6)
    return figure


def hover_map(shown: dict[str, Any]) -> str:
    """Return the map of some training objects by class, with their light curves."""
    objects, classes, codes = shown["objects"], shown["classes"], shown["codes"]
    rows = np.flatnonzero(np.isfinite(shown["map"]).all(1))
    rows = rows[sample(len(rows), MOST, 0)]
    labels = [classes[codes[k]] if classes and codes[k] >= 0 else "objects" for k in rows]
    plots = [object_plot(objects, int(k), label) for k, label in zip(rows, labels, strict=True)]
    told = f"{len(rows)} of {len(objects)} training objects."
    axes = Axes("phase, or time as scaled", "flux, scaled")
    return map_html(Map(shown["map"][rows], labels, plots, axes, told))


def table_html(found: pa.Table) -> str:
    """Return the first rows of a table as HTML."""
    rows = found.slice(0, LONGEST).to_pylist()
    rows = [
        {k: f"{len(v)} values" if isinstance(v, list) else v for k, v in r.items()} for r in rows
    ]
    more = f"<p>{found.num_rows:,} rows in all</p>" if found.num_rows > LONGEST else ""
    return table(rows) + more
