# %% [markdown]
# # Transients: what a classifier thinks after each observation
#
# Simulate supernovae as ZTF finds them, train a small network by the command line, and watch its
# probabilities change while a light curve grows. The network of this page is trained for seconds;
# `configs/train_ztf.py` without the words that make it small is the real one.
# In a clone: `python notebooks/classify_transients.py FOLDER`, or open it as a notebook.

# %%
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import astro_jax

FOLDER = next((Path(word) for word in sys.argv[1:] if Path(word).is_dir()), Path("."))
KINDS = {"SNIa": 3.0, "SNII": 2.0, "SLSN-I": 1.0, "TDE": 1.0}  # relative numbers

# %% [markdown]
# Train on simulated transients of twelve classes. A table of your own goes the same way, by
# `--config.data.path`: one row an object, lists `time`, `band`, `flux`, `fluxerr`, and `label`.

# %%
WORDS = [
    "--config.data.simulate.transients=800", "--config.data.min_class=5", "--config.steps=160",
    "--config.eval_every=80", "--config.window=32", "--config.model.width=32",
    "--config.model.latent_width=16", "--config.min_valid=0", "--config.log_every=80",
]  # fmt: skip
workdir = Path(tempfile.mkdtemp()) / "ztf"
command = [sys.executable, "-m", "astro_jax.main", "--config=configs/train_ztf.py", *WORDS]
subprocess.run([*command, f"--workdir={workdir}"], check=True, stdout=subprocess.DEVNULL)
run = astro_jax.load(workdir)
print("classes:", ", ".join(run.config.classes))

# %% [markdown]
# New transients, which the network has not seen, with the probabilities after each observation.

# %%
new = astro_jax.simulate_transients(30, seed=99, survey="ztf", shares=KINDS)
told = astro_jax.predict(run, new, per_epoch=True)
truth = np.array(new.columns["label"].to_pylist())
right = np.array([a == b for a, b in zip(told.prediction, truth, strict=True)])
print(f"{right.mean():.0%} of {len(truth)} right among {len(told.classes)} classes")

# %% [markdown]
# Two that it gets right in the end, if there are such: above the light curve, below what the
# network thinks of the classes while it grows.

# %%
chosen = [max(np.flatnonzero(truth == name), key=lambda k: right[k]) for name in ("SNIa", "SNII")]
colours = dict(zip(told.classes, plt.get_cmap("tab20").colors, strict=False))
figure, axes = plt.subplots(2, 2, figsize=(11, 6.4), sharex="col", layout="constrained")
bands = np.unique(astro_jax.band_names(new))
for (above, below), k in zip(axes.T, chosen, strict=True):
    part = slice(new.offsets[k], new.offsets[k + 1])
    start = new.time[part][0]
    for name in bands:
        mine = astro_jax.band_names(new)[part] == name
        above.errorbar(new.time[part][mine] - start, new.flux[part][mine],
                       new.fluxerr[part][mine], fmt=".", label=name)  # fmt: skip
    above.set(title=f"a simulated {truth[k]}; last word: {told.prediction[k]}", ylabel="flux")
    above.legend()
    largest = np.argsort(-np.nanmax(told.steps[k], axis=0))[:5]
    for c in largest:
        name = told.classes[c]
        below.plot(told.times[k] - start, told.steps[k][:, c], color=colours[name], label=name)
    below.set(xlabel="days since the first point", ylabel="probability", ylim=(0, 1))
    below.legend(fontsize=8)
figure.savefig(FOLDER / "classify_transients.png", dpi=110)
