"""How far an object lies from all that a network was trained on: distances in its latent space.

Mahalanobis distance to the nearest class (Lee et al. 2018, arXiv 1807.03888): the classes have
their own means and one covariance.
"""

from typing import Any, NamedTuple

import numpy as np

DIRECTIONS = 16  # at most, of the latent space: those in which the training objects vary most
PER_DIRECTION = 4  # objects at least for each of them
QUANTILES = 101


class Latents(NamedTuple):
    """What the latents of the training objects look like; plain lists, for JSON.

    means: [C][R] of the classes after `project`; centre: [D]; project: [R][D], whitens;
    distances: [101] quantiles of the distances of the objects that the scale is set by
    """

    centre: list
    project: list
    means: list
    distances: list


def describe_latents(
    embedding: np.ndarray, labels: np.ndarray, others: np.ndarray | None = None
) -> Latents:
    """Return what `outlier_score` needs, from the latents [N, D] and class numbers [N] of training.

    others: latents [M, D] of objects that were not trained on, to set the scale; else the same
    """
    embedding = np.asarray(embedding, float)
    centre = embedding.mean(0)
    codes, place = np.unique(labels, return_inverse=True)
    means = np.stack([embedding[place == k].mean(0) for k in range(len(codes))])
    inside = embedding - means[place]
    values, vectors = np.linalg.eigh(inside.T @ inside / max(len(embedding) - len(codes), 1))
    most = max(min(DIRECTIONS, len(embedding) // PER_DIRECTION, len(values)), 1)
    values, vectors = values[::-1][:most], vectors[:, ::-1][:, :most]
    floor = max(values[0] * 1e-6, 1e-12)  # a dead direction must not blow up
    project = (vectors / np.sqrt(np.maximum(values, floor))).T
    latents = Latents(
        centre.tolist(), project.tolist(), ((means - centre) @ project.T).tolist(), []
    )
    scale = distance(latents, embedding if others is None or not len(others) else others)
    quantiles = np.quantile(scale, np.linspace(0, 1, QUANTILES))
    return latents._replace(distances=quantiles.tolist())


def distance(latents: Latents, embedding: np.ndarray) -> np.ndarray:
    """Return the distance of each object to the nearest class, [N], in standard deviations."""
    centre, project, means = (np.array(part) for part in latents[:3])
    x = (np.asarray(embedding, float) - centre) @ project.T
    return np.sqrt(((x[:, None] - means) ** 2).sum(-1).min(1))


def outlier_score(latents: Latents, embedding: np.ndarray) -> np.ndarray:
    """Return how unlike the training objects each object is, [N]: 0 .. 1 as them, above 1 beyond.

    Up to 1 it is the share of known objects that lie nearer to their class; beyond the farthest of
    them it grows as the distance over the farthest.
    """
    far, known = distance(latents, embedding), np.array(latents.distances)
    share = np.interp(far, known, np.linspace(0, 1, len(known)))
    return np.where(far > known[-1], far / max(known[-1], 1e-12), share)


def from_plain(described: dict[str, Any]) -> Latents:
    """Return the record from what JSON holds."""
    return Latents(*(list(described[name]) for name in Latents._fields))
