# %% [markdown]
# # One vector a light curve, and what lies near what
#
# The shipped encoder was trained on simulated light curves without labels. Here it turns stars that
# it never saw into vectors, without any training; classes and amplitudes come apart by themselves.
# In a clone: `python notebooks/encode_and_look.py FOLDER`, or open it as a notebook.

# %%
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

import astro_jax

FOLDER = next((Path(word) for word in sys.argv[1:] if Path(word).is_dir()), Path("."))

# %% [markdown]
# A survey: simulated here, or your own files of any known format by
# `survey, ledger = astro_jax.read_survey("folder")`. A row of it is an object in one band.

# %%
survey = astro_jax.simulate_survey(130, seed=11)
survey = survey.take(np.array(survey.columns["band"].to_pylist()) == "R")
label = np.array(survey.columns["label"].to_pylist())
amplitude = np.array(survey.columns["amplitude"].to_pylist(), float)
print(f"{len(survey)} light curves, {survey.lengths.mean():.0f} observations each")

# %% [markdown]
# `encode` gives one vector an observation; their mean is the vector of the light curve.

# %%
run = astro_jax.load("base")
rows = astro_jax.encode(run, survey)
vectors = np.stack([np.nanmean(row, axis=0) for row in rows])
print(f"the first curve: {rows[0].shape} -> {vectors[0].shape}")

# %% [markdown]
# What is nearest to a star? `search` returns the rows of largest cosine, here without the star
# itself. Centred vectors tell more apart, since all of them share a large common part.

# %%
centred = vectors - vectors.mean(0)
centred /= np.linalg.norm(centred, axis=1, keepdims=True)
hits = astro_jax.search(centred, centred, k=5, own=np.arange(len(centred)))
same = (label[hits.row] == label[:, None]).mean()
chance = sum((label == name).mean() ** 2 for name in set(label))
print(f"of the five nearest {same:.0%} are of the same class; by chance {chance:.0%}")

# %% [markdown]
# The two directions of largest spread, coloured by what the encoder was never told.

# %%
flat = PCA(2, random_state=0).fit_transform(centred)
figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
common = sorted(set(label), key=lambda name: -(label == name).sum())[:8]
for name, colour in zip(common, plt.get_cmap("Dark2").colors, strict=True):
    members = label == name
    axes[0].scatter(*flat[members].T, s=22, color=colour, label=name)
axes[0].scatter(*flat[~np.isin(label, common)].T, s=12, color="0.8", label="others", zorder=0)
axes[0].legend(fontsize=8, ncols=2, title="class (never seen)", loc="center")
shown = axes[1].scatter(*flat.T, s=22, c=np.log10(np.maximum(amplitude, 0.01)), cmap="viridis")
figure.colorbar(shown, label="log10 amplitude (mag)")
for axis in axes:
    axis.set(xlabel="first component", ylabel="second component")
figure.suptitle("130 stars in the space of the shipped encoder")
figure.savefig(FOLDER / "encode_and_look.png", dpi=110)
