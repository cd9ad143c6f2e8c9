"""The job that looks at a survey before anyone trains on it, and compares it with a run."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from astro_jax.data.curves import Curves
from astro_jax.data.multimodal import Objects
from astro_jax.data.multimodal_rules import standardised
from astro_jax.data.transients import Transients, band_names
from astro_jax.data.windows import consecutive_windows
from astro_jax.doctor_checks import check
from astro_jax.doctor_reading import Finding, Opened, account_of, open_survey, words_of
from astro_jax.doctor_structure import percent
from astro_jax.errors import UserError
from astro_jax.infer import encoder_of
from astro_jax.quantiles import Compared, compare, kept_quantiles, measure
from astro_jax.report import text_table
from astro_jax.report_html import Axes, Html, Plot, facts, plots_html, table, write_page
from astro_jax.report_run import data_hashes, versions
from astro_jax.shown import id_of, name_of, object_plot, probed_errors, sample
from astro_jax.transient_prediction import network_rows
from astro_jax.weights import Run, load
from astro_jax.workdir import check_output

PICTURED = 9  # windows
REASONS = 12  # of the quarantine, on the page
LEVELS = ("stop", "look", "ok")
MOSTLY = 0.05  # share of the objects outside: five times what the training data themselves have


class Examined(NamedTuple):
    """What was found in a survey, how it compares, and what the model would see of it.

    outside: share of the objects that lie outside in any quantity, NaN where nothing is known
    """

    opened: Opened
    findings: list[Finding]
    compared: list[Compared]
    outside: float
    plots: Sequence[Plot]
    axes: Axes


def run(config: ConfigDict, workdir: Path) -> int:
    """Print what is odd about a survey and write the page; return 0 whatever was found.

    Raises UserError where there is nothing to look at, or the page cannot be written.
    """
    output = Path(config.output) if config.output else Path(workdir) / "doctor.html"
    check_output(output)
    trained = load(config.init, config.step) if config.init else None
    examined = examine(config, trained)
    print(text_of(config, examined), flush=True)
    write_page(output, f"doctor: {path_of(config)}", sections(config, examined), verdict(examined))
    print(f"the page is {output}")
    return 0


def path_of(config: ConfigDict) -> str:
    """Return what is looked at, as it was given."""
    data = config.data
    return ", ".join(data[n] for n in ("path", "curves", "spectra", "catalogue") if data[n])


def examine(config: ConfigDict, trained: Run | None) -> Examined:
    """Read a survey, check it, compare it with a run where one is given."""
    opened = open_survey(config)
    window = trained.config.get("window", config.window) if trained else config.window
    findings = [*opened.findings, *check(opened, window, config.min_points)]
    compared: list[Compared] = []
    outside = float("nan")
    if trained is not None and opened.data is not None and len(opened.data):
        more, compared, outside = against(config, trained, opened)
        findings += more
    plots, axes = pictured(opened, window, config.seed)
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    return Examined(opened, findings, compared, outside, plots, axes)


def kind_of_run(trained: Run) -> str:
    """Return which kind of data a run reads."""
    if "modalities" in trained.config:
        return "objects"
    return "transients" if "rows" in trained.config else "curves"


def against(
    config: ConfigDict, trained: Run, opened: Opened
) -> tuple[list[Finding], list[Compared], float]:
    """Return findings, comparisons, and the share of objects outside of a run's training data."""
    kind = kind_of_run(trained)
    if kind != opened.kind:
        text = f"{config.init} reads {kind}, these data are {opened.kind}: not compared"
        return [Finding("stop", "run", text)], [], float("nan")
    known = kept_quantiles(config.init)
    findings = []
    if not known:
        text = f"{config.init} keeps no quantiles of its training data (quantiles.json): weights "
        text += "published by others, shipped, or of an older run; shown is only what is here"
        findings.append(Finding("look", "run", text))
    try:
        data = as_run_sees(trained, opened.data.take(sample(len(opened.data), config.most,
                                                            config.seed)))  # fmt: skip
    except UserError as error:  # none of the objects is for this network
        return [*findings, Finding("stop", "run", str(error))], [], float("nan")
    compared = compare(measure(data), known)
    outside = float(np.any([c.outside for c in compared], axis=0).mean()) if known else float("nan")
    if isinstance(data, Curves) and reconstructs(trained):
        compared += compare(probed_errors(trained, data, config.seed), known)
    findings += [distance(c) for c in compared if c.share > MOSTLY]
    if known and not any(c.share > MOSTLY for c in compared):
        findings.append(Finding("ok", "run", f"the data lie where {config.init} was trained"))
    return findings, compared, outside


def reconstructs(trained: Run) -> bool:
    """Tell a run on curves that has an encoder."""
    try:
        encoder_of(trained)
    except UserError:  # a head that reads raw curves
        return False
    return True


def as_run_sees(trained: Run, data: Any) -> Any:
    """Return data as `quantiles` measured those of the training: rows, or standardised objects."""
    if isinstance(data, Transients):
        return network_rows(trained, data)[0]
    if isinstance(data, Objects) and trained.config.get("statistics"):
        return standardised(data, trained.config.statistics.to_dict())
    return data


def distance(found: Compared) -> Finding:
    """Return how far a quantity lies from the training, in words."""
    here, there = (f"{q[0]:.4g} to {q[2]:.4g}" for q in (found.here, found.there))
    text = f"{percent(found.share)} of the objects lie outside of the training: 90 % here {here}, "
    return Finding("look", found.name, f"{text}there {there}")


def pictured(opened: Opened, window: int, seed: int) -> tuple[list[Plot], Axes]:
    """Return some windows as the model would see them, and the axes."""
    data = opened.data
    if isinstance(data, Curves):
        axes = Axes("days from the middle of the window", "magnitude, centred", down=True)
        return curve_windows(data, window, seed), axes
    if isinstance(data, Transients):
        names = tuple(sorted(set(band_names(data).tolist())))
        rows = sample(len(data), PICTURED, seed)
        return [transient_plot(data, int(k), names) for k in rows], Axes(
            "time (MJD)", "flux (FLUXCAL)", False, names
        )
    axes = Axes("phase, or time as scaled", "flux, scaled")
    if data is None:
        return [], axes
    rows = sample(len(data), PICTURED, seed)
    return [object_plot(data, int(k), "") for k in rows], axes


def curve_windows(curves: Curves, window: int, seed: int) -> list[Plot]:
    """Return some windows of curves, centred as they are for the model."""
    windows = consecutive_windows(curves.lengths, window)
    count = np.bincount(windows.curve, minlength=len(curves))
    plots = []
    for w in sample(len(windows.curve), PICTURED, seed):
        k = int(windows.curve[w])
        first = curves.offsets[k] + windows.start[w]
        part = slice(first, first + windows.size[w])
        time, mag = curves.time[part], curves.mag[part].astype(float)
        number = windows.start[w] // window + 1
        note = f"window {number} of {count[k]}, {windows.size[w]} observations"
        plots.append(Plot(name_of(curves, k), note, time - time.mean(), mag - mag.mean()))
    return plots


def transient_plot(data: Transients, k: int, names: Sequence[str]) -> Plot:
    """Return the light curve of transient k, a group a band."""
    part = data.take(np.array([k]))
    group = np.array([names.index(name) for name in band_names(part).tolist()], int)
    label = part.label[0] or "no label"
    return Plot(id_of(data, k), label, part.time, part.flux, group)


# Text and page


def verdict(examined: Examined) -> str:
    """Return one line: how bad it is."""
    count = [sum(f.level == level for f in examined.findings) for level in LEVELS]
    words = f"{count[0]} findings that stop or spoil a training, {count[1]} to look at, "
    words += f"{count[2]} in order"
    if np.isfinite(examined.outside):
        words += f"; {percent(examined.outside)} of the objects lie outside of the run's training "
        count = sum(c.there is not None for c in examined.compared)
        words += (
            f"data in at least one of {count} quantities (of those themselves at most {count} %)"
        )
    return words


def suggestion(config: ConfigDict, opened: Opened) -> str:
    """Return the words of the command line that make a run read these data."""
    given = {
        name: config.data[name]
        for name in ("path", "curves", "spectra", "catalogue", "format", "time_format", "survey",
                     "zero_point", "band", "snr")
        if config.data[name]
    }  # fmt: skip
    columns = {role: name for role, name in config.data.columns.items() if name}
    said = {**given, **{k: v for k, v in opened.said.items() if v and k != "columns"}}
    said["columns"] = {**columns, **opened.said.get("columns", {})}
    bands = said.get("band", "").split(",")
    if isinstance(opened.data, Transients) and len(bands) > 1:
        there = set(band_names(opened.data).tolist())
        said["band"] = ",".join(b for b in bands if b in there)
    return words_of(said)


def text_of(config: ConfigDict, examined: Examined) -> str:
    """Return all that was found as text."""
    wide = max(len(f.topic) for f in examined.findings)
    lines = [f"doctor: {path_of(config)} ({examined.opened.kind})"]
    lines += [f"  {f.level:<5} {f.topic:<{wide}}  {f.text}" for f in examined.findings]
    if examined.compared:
        lines += ["", text_table(compared_rows(examined.compared))]
    lines += ["", account_of(examined.opened).summary()]
    return "\n".join([*lines, "", verdict(examined),
                      f"read it by: {suggestion(config, examined.opened)}"])  # fmt: skip


def compared_rows(compared: Sequence[Compared]) -> list[dict[str, str]]:
    """Return a row a quantity: its 5, 50 and 95 % points here and in training, what is outside."""
    return [
        {
            "5, 50, 95 %": c.name,
            "here": " ".join(f"{q:.4g}" for q in c.here),
            "training": " ".join(f"{q:.4g}" for q in c.there) if c.there else "unknown",
            "outside": percent(c.share) if c.there else "-",
        }
        for c in compared
    ]


def sections(config: ConfigDict, examined: Examined) -> list[tuple[str, str]]:
    """Return the page."""
    rows = [
        {"": Html(f'<span class="{f.level}">{f.level}</span>'), "topic": f.topic, "finding": f.text}
        for f in examined.findings
    ]
    words = Html(f'<pre class="words">{escape(suggestion(config, examined.opened))}</pre>')
    found = [("Findings", table(rows)), ("Reader config", words)]
    if examined.plots:
        found.append(("What the model will see", plots_html(examined.plots, examined.axes)))
    if examined.compared:
        found.append((f"Beside {config.init}", table(compared_rows(examined.compared))))
    found.append(("Account", account_html(examined.opened)))
    return [
        *found,
        ("Versions", facts(versions())),
        ("Hashes (SHA-256)", facts(data_hashes(config))),
    ]


def account_html(opened: Opened) -> str:
    """Return what was read, kept, left out, and the commonest reasons."""
    ledger = account_of(opened)
    counts = [
        {"": name, "objects": count.objects, "observations": count.observations}
        for name in ("read", "kept", "filtered", "quarantined")
        for count in [getattr(ledger, name)]
    ]
    reasons: dict[tuple[str, str], list[int]] = {}
    for kind, rows in (("filtered", ledger.drops), ("quarantined", ledger.rows)):
        for row in rows:
            total = reasons.setdefault((kind, row.reason), [0, 0])
            total[0] += row.objects
            total[1] += row.observations
    ranked = sorted(reasons.items(), key=lambda item: -item[1][1])[:REASONS]
    why = [
        {"": kind, "reason": reason, "whole objects": total[0], "observations": total[1]}
        for (kind, reason), total in ranked
    ]
    notes = "".join(f"<p>{escape(note)}</p>" for note in ledger.notes[:REASONS])
    return table(counts) + table(why) + notes
