"""The job that explores a space: searches, outliers, doubtful labels, maps, new classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from ml_collections import ConfigDict

from astro_jax.data.labels import label_texts
from astro_jax.data.multimodal import Features, Objects, Spectra, join
from astro_jax.data.multimodal_rules import standardised
from astro_jax.data.simulate.trimodal import simulate_objects
from astro_jax.data.source import announce
from astro_jax.data.table import write_parquet
from astro_jax.errors import UserError, suggest
from astro_jax.evals.approximate import approximate_search
from astro_jax.evals.retrieval import centroids, contrast_search, search
from astro_jax.evals.space import (
    agreement,
    centroid_outliers,
    dense_regions,
    doubtful_labels,
    fused,
    one_cluster,
    pca_maps,
    projected,
    sub_clusters,
    umap_maps,
)
from astro_jax.explore_report import write_page
from astro_jax.multimodal_infer import encode_all, modality_importance, space_of
from astro_jax.multimodal_source import load_parts, simulates
from astro_jax.multimodal_task import check_split, class_codes
from astro_jax.report_run import REPORT
from astro_jax.surveys.astrom3 import read_published
from astro_jax.weights import Run, load
from astro_jax.workdir import locked

MAPS = {"pca": pca_maps, "umap": umap_maps}
SEARCHES = {"exact": search, "approximate": approximate_search}


def run(config: ConfigDict, workdir: Path) -> int:
    """Write the tables of `explore` as Parquet and a page that shows them; return 0."""
    if not config.init:
        raise UserError("explore needs --config.init=RUN, a run of pretrain_astrom3.py")
    if config.map not in MAPS:
        raise UserError(f"config.map '{config.map}' is unknown{suggest(config.map, MAPS)}")
    if config.search not in SEARCHES:
        known = suggest(config.search, SEARCHES)
        raise UserError(f"config.search '{config.search}' is unknown{known}")
    trained = load(config.init)
    space_of(trained)
    check_split(trained, config)
    with locked(workdir):
        print(announce(config), flush=True)
        statistics = trained.config.get("statistics")
        told = statistics.to_dict() if statistics else None
        parts = load_parts(config, told, trained.config.modalities)
        print(parts.ledger.summary(), flush=True)
        parts.ledger.write(str(workdir / "quarantine.csv"))
        tables, shown = explore(trained, parts.train, parts.test, config)
        for name, table in tables.items():
            write_parquet(table, str(workdir / f"{name}.parquet"))
        write_page(workdir / REPORT, tables, shown, Path(config.init).name, config)
        rows = ", ".join(f"{name} ({table.num_rows})" for name, table in tables.items())
        print(f"{rows} in {workdir}; the report is {workdir / REPORT}")
    return 0


def explore(
    trained: Run, train: Objects, test: Objects, config: ConfigDict
) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    """Return tables by name, and what the page draws: objects, vectors, classes."""
    vectors = [encode_all(trained, part) for part in (train, test)]
    classes, codes = class_codes(train, test)
    mixed = [fused(part) for part in vectors]
    maps = MAPS[config.map](mixed[0], [mixed[1]])
    tables = {
        "search": searches(train, vectors[0], config),
        "contrast": contrasts(train, vectors[0], config),
        "outliers": outliers(train, vectors[0], codes[0], classes, maps[0], mixed[0]),
        "map": map_table((train, test), maps),
    }
    if classes:
        tables["doubtful"] = doubtful(train, mixed[0], codes[0], classes)
        tables["sub_clusters"] = clusters(train, mixed[0], codes[0], classes)
        tables["mean_spectra"] = mean_spectra(train, tables["sub_clusters"])
    if classes and "classes" in trained.config and len(trained.config.modalities) > 1:
        tables["importance"] = modality_importance(trained, test)
    if classes and (config.unseen or simulates(config.data)):
        means = centroids(mixed[0], codes[0], len(classes))
        tables["unseen"] = unseen(trained, means, classes, config)
    shown = {"objects": train, "classes": classes, "codes": codes[0], "map": maps[0]}
    return tables, shown


def searches(objects: Objects, vectors: dict[str, np.ndarray], config: ConfigDict) -> pa.Table:
    """Return the hits of some objects within and across all modalities, a row a hit."""
    ids = objects.columns["id"].to_pylist()
    rows: list[dict] = []
    for query in sorted(vectors):
        some = np.flatnonzero(np.isfinite(vectors[query]).all(1))[: config.queries]
        for found in sorted(vectors):
            hits = SEARCHES[config.search](vectors[query][some], vectors[found], config.k,
                                           own=some if query == found else None)  # fmt: skip
            rows += [
                {"query": ids[q], "from": query, "to": found, "rank": rank + 1,
                 "hit": ids[hit], "cosine": float(cosine)}
                for q, row, cosines in zip(some, *hits, strict=True)
                for rank, (hit, cosine) in enumerate(zip(row, cosines, strict=True))
                if hit >= 0
            ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def contrasts(objects: Objects, vectors: dict[str, np.ndarray], config: ConfigDict) -> pa.Table:
    """Return for some objects the nearest in one modality, least like in another first."""
    ids = objects.columns["id"].to_pylist()
    rows: list[dict] = []
    for near in sorted(vectors):
        for far in sorted(set(vectors) - {near}):
            both = np.isfinite(vectors[near]).all(1) & np.isfinite(vectors[far]).all(1)
            for query in np.flatnonzero(both)[: config.queries].tolist():
                hits = contrast_search(query, vectors[near], vectors[far], config.k)
                rows += [
                    {"query": ids[query], "near": near, "far": far, "hit": ids[hit],
                     "cosine_near": float(close), "cosine_far": float(other)}
                    for hit, close, other in zip(*hits, strict=True)
                ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def outliers(
    objects: Objects,
    vectors: dict[str, np.ndarray],
    codes: np.ndarray,
    classes: list[str],
    points: np.ndarray,
    mixed: np.ndarray,
) -> pa.Table:
    """Return for each object how far it is from its class, in how many modalities an outlier.

    Outliers in the most modalities first, then the farthest in any of them.
    """
    columns: dict[str, Any] = {"id": objects.columns["id"]}
    if classes:
        columns["label"] = [classes[c] if c >= 0 else None for c in codes]
    far = {}
    for name in sorted(vectors):
        distance, far[name] = centroid_outliers(vectors[name], codes, len(classes))
        columns[f"distance_{name}"], columns[f"outlier_{name}"] = distance, far[name]
    columns["agreed"] = agreement(far)
    alone = np.zeros(len(objects), bool)
    for c in range(len(classes)):
        members = np.flatnonzero((codes == c) & np.isfinite(points).all(1))
        alone[members] = one_cluster(points[members]).label < 0
    columns["off_its_cluster"] = alone
    columns["in_no_region"] = dense_regions(mixed).label < 0
    distances = np.nan_to_num([columns[f"distance_{name}"] for name in vectors], nan=-1.0)
    order = np.lexsort((-distances.max(0), -columns["agreed"]))
    return pa.table(columns).take(pa.array(order))


def map_table(parts: tuple[Objects, ...], maps: list[np.ndarray]) -> pa.Table:
    """Return the places of train and test objects on the map."""
    pieces = []
    for name, part, points in zip(("train", "test"), parts, maps, strict=True):
        columns: dict[str, Any] = {"id": part.columns["id"], "part": [name] * len(part)}
        columns |= {"x": points[:, 0], "y": points[:, 1]}
        if "label" in part.columns.column_names:
            columns["label"] = part.columns["label"]
        pieces.append(pa.table(columns))
    return pa.concat_tables(pieces)


def doubtful(
    objects: Objects, mixed: np.ndarray, codes: np.ndarray, classes: list[str]
) -> pa.Table:
    """Return candidates for a wrong label, the most doubtful first."""
    found = doubtful_labels(mixed, codes, len(classes))
    ids = objects.columns["id"].to_pylist()
    return pa.table(
        {
            "id": [ids[k] for k in found.row],
            "label": [classes[codes[k]] for k in found.row],
            "suggested": [classes[c] for c in found.suggested],
            "share": found.share,
            "margin": found.margin,
        }
    )


def clusters(
    objects: Objects, mixed: np.ndarray, codes: np.ndarray, classes: list[str]
) -> pa.Table:
    """Return two sub-clusters of each class with 10 members, and colour and absolute G of each."""
    label = np.full(len(objects), -1)
    for c in range(len(classes)):
        members = np.flatnonzero(codes == c)
        if len(members) >= 10:
            label[members] = sub_clusters(mixed[members])
    kept = np.flatnonzero(label >= 0)
    few = objects.columns.take(pa.array(kept))
    columns = {"id": few["id"], "label": few["label"], "cluster": label[kept]}
    if {"bp_rp", "phot_g_mean_mag", "parallax"} <= set(few.column_names):
        parallax = few["parallax"].to_numpy()
        known = np.where(parallax > 0, parallax, np.nan)
        columns["bp_rp"] = few["bp_rp"]
        columns["absolute_g"] = few["phot_g_mean_mag"].to_numpy() - 10 + 5 * np.log10(known)
    elif "metadata" in objects.parts:
        columns |= standard_colours(objects.parts["metadata"], kept)
    return pa.table(columns)


def standard_colours(part: Features, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return BP - RP and absolute G as the network has them, in standard units, where known.

    For data whose catalogue columns are not at hand, such as the published layout.
    """
    names = {"bp_rp_standardised": "bp_rp", "absolute_g_standardised": "phot_g_mean_mag"}
    if not set(names.values()) <= set(part.channels):
        return {}
    return {key: part.column(name)[rows] for key, name in names.items()}


def mean_spectra(objects: Objects, found: pa.Table) -> pa.Table:
    """Return the mean spectrum of each sub-cluster of `clusters`, a row a modality and cluster.

    Means are over the members whose best spectrum observed the pixel, NaN where none did.
    """
    place = {name: k for k, name in enumerate(objects.columns["id"].to_pylist())}
    groups: dict[tuple[str, int], list[int]] = {}
    for row in found.select(["id", "label", "cluster"]).to_pylist():
        groups.setdefault((row["label"], row["cluster"]), []).append(place[row["id"]])
    rows = []
    for name, part in objects.parts.items():
        for (label, cluster), members in groups.items() if isinstance(part, Spectra) else ():
            own = np.array([k for k in members if part.present[k]], int)
            best = part.offsets[own]
            count = part.mask[best].sum(0)
            total = np.where(part.mask[best], part.values[best, :, 0], 0.0).sum(0)
            flux = np.where(count > 0, total / np.maximum(count, 1), np.nan)
            rows.append({"modality": name, "label": label, "cluster": cluster,
                         "objects": len(own), "wavelength": part.grid, "flux": flux})  # fmt: skip
    kinds = [("modality", pa.string()), ("label", pa.string()), ("cluster", pa.int64()),
             ("objects", pa.int64()), ("wavelength", pa.list_(pa.float64())),
             ("flux", pa.list_(pa.float64()))]  # fmt: skip
    return pa.Table.from_pylist(rows, pa.schema(kinds))


def unseen(trained: Run, means: np.ndarray, classes: list[str], config: ConfigDict) -> pa.Table:
    """Return where classes that are never trained on fall, a row a pair of classes."""
    objects, labels = unseen_objects(trained, config)
    told = projected(fused(encode_all(trained, objects)), labels, means, classes)
    rows = [
        {"unseen": name, "nearest": near, "share": share}
        for name, shares in told.items()
        for near, share in shares.items()
    ]
    return pa.Table.from_pylist(rows)


def unseen_objects(trained: Run, config: ConfigDict) -> tuple[Objects, list[str]]:
    """Return objects of other classes and their labels: of `config.unseen`, else simulated."""
    data = config.data
    if config.unseen:
        parts, ledger = read_published(config.unseen, tuple(data.classes), tuple(data.wavelengths))
        print(ledger.summary(), flush=True)
        objects = join([parts[name] for name in sorted(parts)])
        labels = label_texts(objects, "label")
        kept = np.flatnonzero([label is not None for label in labels])
        return objects.take(kept), [labels[k] for k in kept]
    objects = simulate_objects(
        max(data.simulate.stars // 8, 50), config.seed, data.rules,
        wavelengths=tuple(data.wavelengths), bands=tuple(data.simulate.bands), unseen=True,
    )  # fmt: skip
    objects = standardised(objects, trained.config.statistics.to_dict())
    return objects, objects.columns["true_label"].to_pylist()
