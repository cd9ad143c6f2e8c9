# %% [markdown]
# # A classifier from 10 labels a class
#
# `fit_classifier` puts a head on the shipped encoder: by default a forest on its vectors and on
# hand-made features. It says how sure it is, and where it errs can be read off one table.
# In a clone: `python notebooks/classify_with_few_labels.py FOLDER`, or open it as a notebook.

# %%
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import classification_report, confusion_matrix

import astro_jax

FOLDER = next((Path(word) for word in sys.argv[1:] if Path(word).is_dir()), Path("."))
CLASSES = ["CEP_1O", "CEP_F", "EA", "EB", "RRAB", "RRC"]
LABELS = 10  # a class

# %% [markdown]
# Stars with known classes; 10 of each are the labels, all others are only there to test.

# %%
survey = astro_jax.simulate_survey(260, seed=5)
label = np.array(survey.columns["label"].to_pylist())
band = np.array(survey.columns["band"].to_pylist())
survey = survey.take(np.isin(label, CLASSES) & (band == "R"))
label = np.array(survey.columns["label"].to_pylist())
rank = np.array([np.sum(label[:k] == name) for k, name in enumerate(label)])
known = rank < np.minimum(LABELS, [np.sum(label == name) // 2 for name in label])
print({name: (int(known[label == name].sum()), int((label == name).sum())) for name in CLASSES})

# %% [markdown]
# Fit on the labelled curves; a fifth of them validates. Keep the result by
# `astro_jax.save_pretrained(classifier, "folder")`, or give it `workdir=...`.

# %%
run = astro_jax.load("base")
classifier = astro_jax.fit_classifier(run, survey.take(known), label[known])

# %% [markdown]
# The report: per class how many of those named are right (precision), and how many are found
# (recall); and whether a probability of 80 % means right in 80 %.

# %%
told = astro_jax.predict(classifier, survey.take(~known))
truth = label[~known]
print(classification_report(truth, told.prediction, zero_division=0))
sure = told.probabilities.max(1)
right = np.array(told.prediction) == truth
print(f"surer half: {right[sure >= np.median(sure)].mean():.0%} right, all: {right.mean():.0%}")

# %%
counts = confusion_matrix(truth, told.prediction, labels=told.classes)
share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
axes[0].imshow(share, cmap="Blues", vmin=0, vmax=1)
for (i, j), count in np.ndenumerate(counts):
    axes[0].text(j, i, count, ha="center", va="center", color="w" if share[i, j] > 0.5 else "k")
ticks = range(len(told.classes))
axes[0].set(xticks=ticks, yticks=ticks, xlabel="predicted", ylabel="true", title="test stars")
axes[0].set_xticklabels(told.classes)
axes[0].set_yticklabels(told.classes)
edges = np.quantile(sure, np.linspace(0, 1, 5))
groups = np.clip(np.searchsorted(edges, sure, side="right") - 1, 0, 3)
axes[1].plot([0, 1], [0, 1], color="0.7", lw=1)
surest = [sure[groups == g].mean() for g in range(4)]
axes[1].plot(surest, [right[groups == g].mean() for g in range(4)], "o-")
axes[1].set(xlim=(0, 1), ylim=(0, 1.02), xlabel="probability of the prediction",
            ylabel="share that is right", title="quarters, by how sure")  # fmt: skip
figure.suptitle(f"{LABELS} labels a class at most")
figure.savefig(FOLDER / "classify_with_few_labels.png", dpi=110)
