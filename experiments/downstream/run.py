"""All that the ASTROMER paper does with a trained encoder, on real surveys.

    python experiments/downstream/run.py PART [PART ...] [--minutes=9] [--folds=3] [--surveys=...]
        [--weights=base,official,without] [--budgets=20,100]

Parts, each resumable (what a JSON beside this file has is not measured again):
`figures` time encoding, magnitude projection, distributions; `cross` one survey to another;
`regress` log periods; `left_out` weights that never saw a survey; `tables` fine-tuning by budget;
`grid` heads and scenarios; `vectors` which vector MLP+ATT sees; `rates` learning rates of the LSTM;
`widths` widths and bases of the encoder.
The network parts run the commands of configs/ in runs/experiment_downstream; after SIGTERM (say
of `timeout -s TERM 570`) the same command goes on within a training.
"""

from absl import app, logging
from cross import cross
from figures import figures
from networks import grid, left_out, rates, tables, vectors, widths
from periods import regress

PARTS = {
    part.__name__: part
    for part in (figures, cross, regress, left_out, tables, grid, vectors, rates, widths)
}


def main(argv: list[str]) -> None:
    """Run the named parts."""
    logging.set_verbosity(logging.WARNING)
    for name in argv[1:]:
        PARTS[name]()


if __name__ == "__main__":
    app.run(main)
