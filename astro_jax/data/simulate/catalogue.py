"""The catalogue of simulated stars: magnitudes, astrometry, positions (Gaia, 2MASS, WISE).

Colours by temperature are rounded from Pecaut & Mamajek 2013 (ApJS 208 9); G - V from Riello et al.
2021 (A&A 649 A3, table C.2).  Errors and kinematics are ours.
"""

import numpy as np

from astro_jax.data.simulate.trimodal_classes import Physics, Population, v_minus_k

# Temperature, BP - RP, J - K, H - K without dust
COLOURS = np.array([
    [2600, 5.0, 1.25, 0.45], [3000, 3.4, 1.10, 0.32], [3300, 2.7, 1.0, 0.25],
    [3600, 2.2, 0.93, 0.20], [4000, 1.75, 0.85, 0.15], [4500, 1.4, 0.68, 0.11],
    [5000, 1.13, 0.52, 0.08], [5500, 0.93, 0.41, 0.06], [6000, 0.76, 0.32, 0.05],
    [6500, 0.6, 0.24, 0.04], [7000, 0.45, 0.17, 0.03], [7500, 0.32, 0.12, 0.02],
    [8000, 0.2, 0.08, 0.02], [9000, 0.05, 0.02, 0.01], [10000, -0.02, 0.0, 0.0],
    [12000, -0.1, -0.05, -0.02], [15000, -0.2, -0.1, -0.03],
])  # fmt: skip
# A_band / A_V: G, BP, RP, J, H, K, W1, W2 (rounded from Wang & Chen 2019 ApJ 877 116)
REDDENING = {
    "g": 0.79, "bp": 1.0, "rp": 0.59, "j": 0.24, "h": 0.13, "k": 0.08, "w1": 0.04, "w2": 0.03,
}  # fmt: skip
LIMITS = (10.2, 15.8)  # apparent V of the survey


def place_stars(
    stars: Physics, population: Population, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return l, b (degrees), distance (pc), A_V and apparent V, [n] each.

    Apparent V is drawn within the survey's limits, and the distance follows from the luminosity;
    dust lies in a disc: 0.7 mag a kpc in the plane, less where a star is above 150 pc.
    """
    n = len(stars.teff)
    l = rng.uniform(0, 360, n)  # noqa: E741
    if population.height >= 90:
        b = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    else:
        b = np.clip(rng.laplace(0, population.height, n), -89, 89)
    v = rng.triangular(LIMITS[0], 14.2, LIMITS[1], n)
    distance, extinction = np.full(n, 1000.0), np.zeros(n)
    for _ in range(6):  # extinction depends on the distance, and the distance on the extinction
        distance = np.clip(10 ** (0.2 * (v - stars.mv - extinction) + 1), 20, 60_000)
        within = 150 / np.maximum(np.abs(np.sin(np.radians(b))), 1e-3)
        extinction = np.minimum(0.0007 * np.minimum(distance, within), 3.0)
    return {"l": l, "b": b, "distance": distance, "extinction": extinction, "v": v}


def catalogue(
    stars: Physics,
    places: dict[str, np.ndarray],
    amplitude: np.ndarray,
    speed: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Return the 34 columns of `multimodal_rules.METADATA`, [n] float64 each.

    amplitude: of the variation in V, mag: it adds to the errors of the mean magnitudes and to
    magnitudes of single epochs; speed: km/s, of the star's class
    """
    n = len(stars.teff)
    magnitudes = _magnitudes(stars, places, amplitude, rng)
    distance = places["distance"]
    g = magnitudes["phot_g_mean_mag"]
    error = 0.013 * np.sqrt(1 + 10 ** (0.5 * (np.maximum(g, 9) - 14.5)))  # mas
    error *= np.exp(0.1 * rng.standard_normal(n))
    parallax = 1000 / distance + error * rng.standard_normal(n)
    motion = speed * rng.standard_normal((2, n)) / (4.74 * distance / 1000)
    table = {
        **magnitudes,
        "parallax": parallax,
        "parallax_error": error,
        "parallax_over_error": parallax / error,
        "pmra": motion[0] + error * rng.standard_normal(n),
        "pmra_error": error * 1.05,
        "pmdec": motion[1] + error * rng.standard_normal(n),
        "pmdec_error": error * 1.1,
        "ruwe": np.clip(1 + np.abs(0.08 * rng.standard_t(3, n)), 0.8, 8),
        "l": places["l"],
        "b": places["b"],
    }
    table["pm"] = np.hypot(table["pmra"], table["pmdec"])
    table["bp_rp"] = table["phot_bp_mean_mag"] - table["phot_rp_mean_mag"]
    for name, first, second in (("j_k", "j", "k"), ("w1_w2", "w1", "w2"), ("w3_w4", "w3", "w4")):
        table[name] = table[f"{first}_mag"] - table[f"{second}_mag"]
    return table


def _magnitudes(
    stars: Physics, places: dict[str, np.ndarray], amplitude: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return mean_vmag, the magnitudes of Gaia, 2MASS and WISE, and their errors."""
    n, av = len(stars.teff), places["extinction"]
    bare = places["v"] - av
    bp_rp, j_k, h_k = (np.interp(stars.teff, COLOURS[:, 0], c) for c in COLOURS.T[1:])
    carbon = stars.carbon * rng.uniform(0.5, 1.6, n)  # dust of carbon stars
    bp_rp, j_k, h_k = bp_rp + 0.4 * carbon, j_k + 0.8 * carbon, h_k + 0.3 * carbon
    k = bare - v_minus_k(stars.teff) - 0.8 * stars.carbon
    cool = np.clip((3500 - stars.teff) / 900, 0, 1) * stars.giant + carbon  # circumstellar dust
    g = bare - 0.02704 + 0.01424 * bp_rp - 0.2156 * bp_rp**2 + 0.01426 * bp_rp**3
    rp = g - 0.6 * bp_rp + 0.03 * bp_rp**2
    w1 = k - 0.05 - 0.15 * cool
    w2 = w1 + 0.03 - 0.25 * cool + 0.05 * (stars.teff < 4500)
    w3 = w2 - 0.05 - 0.6 * cool
    w4 = w3 - 0.1 - 0.5 * cool
    exact = {"g": g, "bp": rp + bp_rp, "rp": rp, "j": k + j_k, "h": k + h_k, "k": k, "w1": w1,
             "w2": w2, "w3": w3, "w4": w4}  # fmt: skip
    exact = {name: m + REDDENING.get(name, 0.0) * av for name, m in exact.items()}
    spread = rng.lognormal(0, 0.2, n)
    table = {"mean_vmag": places["v"] + 0.02 * rng.standard_normal(n)}
    for name, base, swing in (("g", 0.0005, 0.05), ("bp", 0.002, 0.07), ("rp", 0.002, 0.05)):
        error = np.hypot(base * 10 ** (0.12 * (exact[name] - 12)), swing * amplitude / 5) * spread
        table[f"phot_{name}_mean_mag"] = exact[name] + error * rng.standard_normal(n)
        table[f"e_phot_{name}_mean_mag"] = error
    single = 0.3 * amplitude * np.sin(rng.uniform(0, 2 * np.pi, n))  # one epoch, infrared
    for name, base in (("j", 0.022), ("h", 0.023), ("k", 0.022), ("w1", 0.023), ("w2", 0.021),
                       ("w3", 0.05), ("w4", 0.2)):  # fmt: skip
        error = base * 10 ** (0.08 * np.maximum(exact[name] - 10, 0)) * spread
        table[f"{name}_mag"] = exact[name] + 0.5 * single + error * rng.standard_normal(n)
        if name not in ("w3", "w4"):
            table[f"e_{name}_mag"] = error
    return table
