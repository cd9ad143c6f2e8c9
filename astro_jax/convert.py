"""The job `convert`: files of any known survey format -> one Parquet object table."""

from pathlib import Path

from astro_jax.data.read import read_survey
from astro_jax.data.table import write_table
from astro_jax.errors import UserError
from astro_jax.units import sweep_file
from astro_jax.workdir import check_output


def run(config, workdir: str) -> int:
    """Read `config.input`, write `config.output`, print the account; return the exit code 0.

    Rows that cannot be used go to `<output>.quarantine.csv`; a report of an earlier run that no
    longer holds is removed. Raises UserError where nothing usable is found.
    """
    del workdir  # the output is named by the config
    for name in ("input", "output"):
        if not config[name]:
            raise UserError(f"convert needs --config.{name}=...")
    output = Path(config.output)
    check_output(output, config.input)
    curves, ledger = read_survey(
        config.input,
        format=config.format,
        band=config.band,
        fields=config.get("fields"),
        time_format=config.time_format,
        columns=dict(config.columns),
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    report = Path(f"{output}.quarantine.csv")
    for path in (output, report):
        sweep_file(path)
    write_table(curves, str(output))
    ledger.report(output)
    print(ledger.summary())
    print(f"wrote {output}")
    if ledger.rows:
        print(f"wrote {report}")
    return 0
