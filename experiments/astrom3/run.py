"""AstroM3 on the simulated survey and on real data: the tables and figures of the paper.

    python experiments/astrom3/run.py [spaces grid baselines ...] [--seeds=42,0] [--minutes=9]

Every run is kept in a folder under --runs, so that the same command goes on; with --minutes no
further run is started after so long.  Parts: `spaces` trains a space a seed; `grid` the
classifiers by modality, share of the labels and start (tables 2, 4, 5); `longer` those with few
labels again, without a stop; `tables` only gathers what is finished; `baselines` grows forests;
`space` looks at the spaces (figures 2 to 9); `missing` trains spaces with spectra for 5 and 10 % of
the objects; `spectra` and `lightcurves` train towers on real data.  Each writes a JSON beside this
file, some draw a picture.
"""

from absl import app, logging
from common import clip, keep_compilations, seeds
from labels import baselines, grid, longer, tables
from missing import missing
from real import lightcurves, spectra
from space import space


def spaces() -> None:
    """Train the space of each seed."""
    for seed in seeds():
        clip(seed)


PARTS = {
    part.__name__: part
    for part in (spaces, grid, longer, tables, baselines, space, missing, spectra, lightcurves)
}


def main(argv: list[str]) -> None:
    """Run the named parts."""
    logging.set_verbosity(logging.WARNING)
    keep_compilations()
    for name in argv[1:] or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    app.run(main)
