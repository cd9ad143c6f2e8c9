"""The skeleton of every page that is written here: one file, without network, that opens anywhere.

Whatever comes from data is escaped; a policy in the page lets no script run but ours, by its
hash, and nothing be loaded.
"""

import importlib.resources
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from astro_jax.workdir import write_bytes

COLOURS = 10  # of groups, as in page/style.css; more groups take other shapes
SHAPES = ("M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0", "M-4 -4h8v8h-8z", "M0 -5L5 0L0 5L-5 0z")
BOX = 340, 190, 60, 10, 18, 32  # of a small plot: width, height, margins left, right, top, bottom
MAP = 640, 460, 20  # of a map: width, height, margin
MOST_POINTS = 100  # of a small plot: a page with some hundred of them stays below 3 MB


class Plot(NamedTuple):
    """A small plot.

    title, note: text; x, y: [n]; group: [n] places in `names`, None: all alike
    """

    title: str
    note: str
    x: np.ndarray
    y: np.ndarray
    group: np.ndarray | None = None


class Axes(NamedTuple):
    """What plots of one kind share: labels, whether values grow downwards, names of the groups."""

    xlabel: str
    ylabel: str
    down: bool = False
    names: tuple[str, ...] = ()


class Map(NamedTuple):
    """Objects on a plane: points [N, 2], label [N] text, a plot of each, what it is a map of.

    names: the labels in the order of their colours; none: sorted
    """

    points: np.ndarray
    label: Sequence[str]
    plots: Sequence[Plot]
    axes: Axes
    told: str
    names: tuple[str, ...] = ()


def write_page(path: Path, title: str, sections: Sequence[tuple[str, str]], lead: str = "") -> None:
    """Write a self-contained page of sections (heading, HTML); title and lead are plain text."""
    style, script = (resource(name) for name in ("style.css", "script.js"))
    digest = b64encode(sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    names = [(f"s{k}", escape(name)) for k, (name, _) in enumerate(sections)]
    links = "".join(f'<a href="#{key}">{name}</a>' for key, name in names)
    body = "".join(
        f'<section><h2 id="{key}">{name}</h2>{content}</section>'
        for (key, name), (_, content) in zip(names, sections, strict=True)
    )
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{style}</style>'
        f"</head><body><main><h1>{escape(title)}</h1>"
        f"{f'<p class=soft>{escape(lead)}</p>' if lead else ''}<nav>{links}</nav>{body}</main>"
        f"<script>{script}</script></body></html>\n"
    )
    write_bytes(Path(path), page.encode("utf-8", "replace"))


def resource(name: str) -> str:
    """Return a text of the folder `page`."""
    return (importlib.resources.files("astro_jax") / "page" / name).read_text(encoding="utf-8")


def table(rows: Sequence[Mapping[str, Any]], caption: str = "", most: int = 200) -> str:
    """Return rows as HTML, escaped; a column that any row lacks is empty there."""
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row))
    numeric = {n for n in names if all(is_number(row.get(n)) for row in rows)}
    kind = {name: "number" if name in numeric else "text" for name in names}
    head = "".join(f'<th class="{kind[n]}">{escape(n)}</th>' for n in names)
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind[n]}">{cell(row.get(n, ""))}</td>' for n in names)
        + "</tr>"
        for row in rows[:most]
    )  # fmt: skip
    told = [caption] if caption else []
    told += [f"{len(rows):,} rows in all"] if len(rows) > most else []
    words = f"<caption>{escape('; '.join(told))}</caption>" if told else ""
    return f'<div class="scroll"><table>{words}<tr>{head}</tr>{body}</table></div>'


class Html(str):
    """Text that is HTML already and is not escaped again."""


def is_number(value: Any) -> bool:
    """Tell a number, and HTML that stands for one."""
    plain = isinstance(value, int | float | np.number | Html) or value in ("", None)
    return plain and not isinstance(value, bool)


def cell(value: Any) -> str:
    """Return a value as the HTML of a cell."""
    if isinstance(value, Html):
        return value
    if value is None:
        return "-"
    if isinstance(value, float | np.floating):
        return number(float(value))
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list | tuple) and len(value) > 6:
        return f"{len(value):,} values"
    return escape(str(value))


def number(value: float) -> str:
    """Return a number with four digits that count."""
    if value != value:
        return "-"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 10 else f"{value:.5g}"


def estimate(value: Any, interval: Sequence[float] | None) -> Html:
    """Return a number with its interval in small print."""
    if interval is None or any(x is None or x != x for x in interval):
        return Html(cell(value))
    low, high = (number(float(x)) for x in interval)
    return Html(f"{cell(value)} <small>{low} to {high}</small>")


def facts(pairs: Mapping[str, Any]) -> str:
    """Return names and values as a table of two columns."""
    rows = "".join(
        f'<tr><th>{escape(str(name))}</th><td class="text">{cell(value)}</td></tr>'
        for name, value in pairs.items()
    )
    return f'<div class="scroll"><table>{rows}</table></div>'


def details(name: str, content: str) -> str:
    """Return a part that is closed until it is asked for; content is HTML."""
    return f"<details><summary>{escape(name)}</summary>{content}</details>"


def picture(content: bytes, name: str) -> str:
    """Return a PNG as an image that stands in the page itself."""
    data = b64encode(content).decode()
    return f'<figure><img alt="{escape(name)}" src="data:image/png;base64,{data}"></figure>'


def plots_html(plots: Sequence[Plot], axes: Axes) -> str:
    """Return small plots beside each other, with the legend of their groups."""
    cards = "".join(
        f'<figure class="card"><figcaption><b>{escape(plot.title)}</b> {escape(plot.note)}'
        f"</figcaption>{plot_svg(plot, axes)}</figure>"
        for plot in plots
    )
    return f'{legend(axes.names)}<div class="plots">{cards}</div>'


def legend(names: Sequence[str]) -> str:
    """Return the names of groups with their colours and shapes."""
    marks = "".join(
        f'<span><svg viewBox="-6 -6 12 12"><path class="point k{k % COLOURS}" d="{shape(k)}"/>'
        f"</svg>{escape(name)}</span>"
        for k, name in enumerate(names)
    )
    return f'<div class="legend">{marks}</div>' if marks else ""


def shape(k: int) -> str:
    """Return the outline of the points of group k."""
    return SHAPES[k // COLOURS % len(SHAPES)]


def plot_svg(plot: Plot, axes: Axes) -> str:
    """Return a plot as inline SVG; what is not finite is left out."""
    width, height, left, right, top, bottom = BOX
    plot = thin(plot)
    frame = (
        f'<svg viewBox="0 0 {width} {height}" role="img"><rect class="frame" x="{left}" y="{top}" '
        f'width="{width - left - right}" height="{height - top - bottom}"/>'
    )
    if not len(plot.x):
        return f"{frame}</svg>"
    x = left + 5 + (width - left - right - 10) * unit(plot.x)
    y = unit(plot.y if axes.down else -plot.y)
    y = top + 5 + (height - top - bottom - 10) * y
    group = np.zeros(len(x), int) if plot.group is None else np.asarray(plot.group)
    dots = "".join(
        f'<path class="dots k{k % COLOURS}" d="'
        + "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x[group == k], y[group == k], strict=True))
        + '"/>'
        for k in np.unique(group)
    )
    ends = [(plot.y.min(), top + 10), (plot.y.max(), height - bottom - 2)]
    ends = ends if axes.down else [(plot.y.max(), top + 10), (plot.y.min(), height - bottom - 2)]
    words = "".join(
        f'<text x="{left - 4}" y="{place}" text-anchor="end">{value:.4g}</text>'
        for value, place in ends
    )
    words += (
        f'<text x="{left}" y="{height - 18}">{plot.x.min():.6g}</text>'
        f'<text x="{width - right}" y="{height - 18}" text-anchor="end">{plot.x.max():.6g}</text>'
        f'<text x="{(left + width - right) / 2:g}" y="{height - 4}" text-anchor="middle">'
        f'{escape(axes.xlabel)}</text><text x="{left}" y="11">{escape(axes.ylabel)}</text>'
    )
    return f"{frame}{dots}{words}</svg>"


def unit(values: np.ndarray) -> np.ndarray:
    """Return values scaled to 0 .. 1; one half where all are equal."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.full(len(values), 0.5)


def thin(plot: Plot, most: int = MOST_POINTS) -> Plot:
    """Return a plot of its finite points, at most so many, drawn at random but always the same."""
    x, y = np.asarray(plot.x, float), np.asarray(plot.y, float)
    rows = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    group = None if plot.group is None else np.asarray(plot.group)[rows]
    return plot._replace(x=x[rows], y=y[rows], group=group)


def map_html(shown: Map) -> str:
    """Return a map with a point an object, whose plot appears where the pointer is."""
    names = list(dict.fromkeys((*shown.names, *sorted(set(shown.label)))))
    width, height, margin = MAP
    places = np.stack([unit(column) for column in np.asarray(shown.points, float).T], axis=1)
    places = margin + places * (width - 2 * margin, height - 2 * margin)
    code = {name: k for k, name in enumerate(names)}
    points = "".join(
        f'<path class="point k{code[label] % COLOURS}" data-i="{k}" data-x="{x:.1f}" '
        f'data-y="{y:.1f}" transform="translate({x:.1f} {y:.1f})" d="{shape(code[label])}"/>'
        for k, (label, (x, y)) in enumerate(zip(shown.label, places, strict=True))
    )
    data = {"box": BOX, **shown.axes._asdict(), "curves": [as_json(p) for p in shown.plots]}
    return (
        f'<p class="soft">{escape(shown.told)} Point at an object, tap it, or use the arrow keys '
        f'to see its light curve.</p>{legend(names)}<div class="map">'
        f'<svg viewBox="0 0 {width} {height}" tabindex="0" role="img" aria-label="map of objects">'
        f'{points}</svg><figure class="card"><figcaption><b>point at an object</b> <span></span>'
        f'</figcaption><svg viewBox="0 0 {BOX[0]} {BOX[1]}"></svg>{legend(shown.axes.names)}'
        f'</figure><script type="application/json">{json_text(data)}</script></div>'
    )


def as_json(plot: Plot) -> dict[str, Any]:
    """Return a plot as plain data, with six digits, for the script of the page."""
    plot = thin(plot)
    told: dict[str, Any] = {"name": plot.title, "note": plot.note}
    told |= {k: [float(f"{v:.7g}") for v in getattr(plot, k)] for k in ("x", "y")}
    return told if plot.group is None else {**told, "g": [int(k) for k in plot.group]}


def json_text(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, separators=(",", ":"))
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text
