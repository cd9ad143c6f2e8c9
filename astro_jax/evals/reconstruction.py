"""How well hidden magnitudes are predicted, beside the plain ways to predict them.

A predictor is a function of the photometry that may be seen (`times`, `values`, `mask`, `hidden`,
as `objectives.reconstruction.probed_input` makes it) to centred magnitudes [B, T].
"""

from collections.abc import Callable, Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from astro_jax.data.masking import draw_probes
from astro_jax.objectives.reconstruction import probed_input

Photometry = Mapping[str, np.ndarray]
Predictor = Callable[[Photometry], np.ndarray]

TIME_SCALES = np.geomspace(0.3, 1000.0, 12)  # days
NOISE_SHARES = np.array([0.01, 0.1, 0.3, 0.6, 0.9])  # of the variance


def mean_of_visible(photometry: Photometry) -> np.ndarray:
    """Predict 0: the input is centred on the mean of the visible magnitudes."""
    return np.zeros(photometry["mask"].shape, np.float32)


def linear_interpolation(photometry: Photometry) -> np.ndarray:
    """Interpolate between the visible neighbours in time; constant beyond the ends."""
    times, mag, visible = map(np.asarray, seen(photometry))
    rows = [
        np.interp(t, t[v], m[v]) if v.any() else np.zeros_like(t)
        for t, m, v in zip(times, mag, visible, strict=True)
    ]
    return np.stack(rows).astype(np.float32)


def gaussian_process(photometry: Photometry) -> np.ndarray:
    """Predict the posterior mean of a Gaussian process, its kernel chosen for each window.

    The marginal likelihood decides between Ornstein-Uhlenbeck, Matern 3/2 and squared exponential
    kernels, 12 time scales from 0.3 to 1000 days and 5 shares of white noise; the variance is
    that of the visible magnitudes (Rasmussen and Williams 2006, eq. 2.25 and 5.8).
    """
    rows = [np.asarray(x) for x in seen(photometry)]
    return np.stack([np.asarray(_gaussian_process(*row)) for row in zip(*rows, strict=True)])


def seen(photometry: Photometry) -> tuple[Array, Array, Array]:
    """Return times, magnitudes (0 where not visible) and what is visible, all [B, T]."""
    visible = photometry["mask"] & ~photometry["hidden"]
    return photometry["times"], jnp.where(visible, photometry["values"][..., 0], 0.0), visible


KERNELS = (
    lambda r: jnp.exp(-r),
    lambda r: (1 + jnp.sqrt(3.0) * r) * jnp.exp(-jnp.sqrt(3.0) * r),
    lambda r: jnp.exp(-0.5 * r**2),
)


@jax.jit
def _gaussian_process(times: Array, mag: Array, visible: Array) -> Array:
    distance = jnp.abs(times[:, None] - times[None, :])
    both = visible[:, None] & visible[None, :]
    variance = (mag**2).sum() / jnp.maximum(visible.sum(), 1) + 1e-8
    target = mag / jnp.sqrt(variance)

    def fit(kernel: Callable, scale: Array, noise: Array) -> tuple[Array, Array]:
        prior = (1 - noise) * kernel(distance / scale)  # [T, T]
        # What is not visible becomes independent of the rest, with unit variance and value 0.
        covariance = jnp.where(both, prior, 0.0) + jnp.diag(jnp.where(visible, noise, 1.0))
        factor = jnp.linalg.cholesky(covariance)
        weights = jax.scipy.linalg.cho_solve((factor, True), target)
        evidence = -0.5 * target @ weights - jnp.log(jnp.diag(factor)).sum()
        return evidence, jnp.where(visible[None, :], prior, 0.0) @ weights

    scale, noise = (x.ravel() for x in jnp.meshgrid(TIME_SCALES, NOISE_SHARES))
    tried = [jax.lax.map(lambda pair, k=k: fit(k, *pair), (scale, noise)) for k in KERNELS]
    evidence = jnp.concatenate([e for e, _ in tried])
    predicted = jnp.concatenate([p for _, p in tried])
    best = jnp.argmax(jnp.where(jnp.isfinite(evidence), evidence, -jnp.inf))
    return jnp.where(visible.any(), predicted[best] * jnp.sqrt(variance), 0.0)


def model_predictor(apply: Callable, params: Mapping, removed: bool = True) -> Predictor:
    """Return the predictor of a model; `removed` zeroes hidden magnitudes before it sees them."""
    # Parameters are an argument: as constants of the program, XLA folds zeros in them into NaN.
    run = jax.jit(lambda params, batch: apply({"params": params}, batch)["reconstruction"])

    def predict(photometry: Photometry) -> np.ndarray:
        shown = remove(photometry) if removed else photometry
        return np.asarray(run(params, {"photometry": shown}))

    return predict


def remove(photometry: Photometry) -> dict[str, np.ndarray]:
    """Return the photometry with the hidden magnitudes set to 0, whatever the model does."""
    values = np.where(photometry["hidden"][..., None], 0.0, photometry["values"])
    return {**photometry, "values": values.astype(np.float32)}


def score(
    predictors: Mapping[str, Predictor], batches: Iterable[Mapping], key: Array
) -> dict[str, np.ndarray]:
    """Return the mean square error at hidden points of each window, {name: [W]}.

    Every predictor is asked about the same hidden points; random replacements are left out, so
    that what is visible is true.  Windows without a hidden point are left out.
    """
    errors: dict[str, list] = {name: [] for name in predictors}
    for batch in batches:
        photometry, target = _hide(batch["photometry"], batch["row"], key)
        photometry = jax.tree.map(np.asarray, photometry)
        hidden = photometry["hidden"] & (batch["weight"] > 0)[:, None]
        count = hidden.sum(1)
        for name, predict in predictors.items():
            square = np.where(hidden, (predict(photometry) - np.asarray(target)) ** 2, 0.0).sum(1)
            errors[name].append(square[count > 0] / count[count > 0])
    return {name: np.concatenate(parts) for name, parts in errors.items()}


@jax.jit
def _hide(photometry: Mapping, row: Array, key: Array) -> tuple[dict, Array]:
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, row)
    probes = jax.vmap(lambda k, m: draw_probes(k, m, random=0.0))(keys, photometry["mask"])
    return probed_input(photometry, probes)


def rmse_interval(errors: np.ndarray, seed: int = 0, draws: int = 1000) -> list[float]:
    """Return the 95 % bootstrap interval of `rmse` over windows, errors [W]."""
    random = np.random.default_rng(seed)
    found = [rmse(random.choice(errors, len(errors))) for _ in range(draws)]
    return [float(x) for x in np.percentile(found, [2.5, 97.5])]


def rmse(errors: np.ndarray) -> float:
    """Return the root of the mean over windows (the official formula)."""
    return float(np.sqrt(errors.mean()))
