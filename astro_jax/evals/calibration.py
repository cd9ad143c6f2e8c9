"""Probabilities that mean what they say: a temperature for the logits, from validation objects."""

import numpy as np

# Standard deviation of log T that is assumed beforehand: few validation objects move the
# temperature little, many decide it alone. Of 0.3, 0.5, 1 and 2, 1 came nearest to the temperature
# of the development objects of YSE with six to validate: 2.36 for 2.37 in the mean of five seeds.
WIDTH = 1.0
GRID = np.exp(np.linspace(np.log(0.1), np.log(10.0), 401))


def fit_temperature(logits: np.ndarray, labels: np.ndarray, width: float = WIDTH) -> float:
    """Return the temperature T under which softmax(logits / T) is most probable (Guo et al. 2017).

    logits: [N, C]; labels: [N], those below 0 do not count. 1 where there is no label.
    Differs from the reference: log T is Gaussian around 0 beforehand, with `width`, so that five
    validation objects that happen to be right do not make the network certain of everything.
    """
    known = np.asarray(labels) >= 0
    logits, labels = np.asarray(logits, float)[known], np.asarray(labels)[known]
    if not len(labels):
        return 1.0
    cost = [surprise(logits / t, labels) + 0.5 * (np.log(t) / width) ** 2 for t in GRID]
    return float(GRID[int(np.argmin(cost))])


def surprise(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the summed negative log-likelihood of the labels [N] under logits [N, C]."""
    return float(-np.take_along_axis(log_softmax(logits), labels[:, None], axis=1).sum())


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log probabilities along the last axis."""
    top = logits.max(-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return softmax(logits / temperature) along the last axis, float64."""
    return np.exp(log_softmax(np.asarray(logits, float) / temperature))
