"""Small drawings as inline SVG: lines over training steps, before/after rates with their intervals, trade-offs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from unseen.bench.views.tables import Estimate

Ends = tuple[float, float, float]
"""A value and both ends of its interval."""
_COLOURS = (
    "#1b6ca8", "#d1495b", "#2e8b57", "#e09f3e", "#7b4fa3", "#3d8b99", "#8c5e3c", "#6b7280", "#b5179e", "#4361ee",
)  # fmt: skip
MOST = len(_COLOURS) - 1
"""Methods beside "before" in one drawing of rates."""
_WIDTH = 640
_LETTER = 7.2
"""Width of a letter of 12 pixels, on the safe side."""
_LONGEST = 40
"""Letters of a label; what is longer is cut."""


def ends_of(estimate: Estimate) -> Ends:
    """An estimate as numbers to draw."""
    return (estimate.value, estimate.low, estimate.high)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, four to six of them, from `low` or below to `high` or above."""
    least = (high - low) / 4
    scale = 10.0 ** math.floor(math.log10(least))
    step = next(scale * times for times in (1, 2, 2.5, 5, 10) if scale * times >= least * (1 - 1e-9))
    return [step * k for k in range(math.floor(low / step), math.ceil(high / step - 1e-9) + 1)]


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1].rstrip()}…"


def _room(labels: Iterable[str], least: int) -> int:
    """Pixels that labels beside a drawing need."""
    return max([least, *(round(_LETTER * len(_short(label))) + 16 for label in labels)])


def _drawing(width: int, height: float, parts: Iterable[str]) -> str:
    head = f'<svg viewBox="0 0 {width} {height}" role="img" xmlns="http://www.w3.org/2000/svg"'
    return f'{head} font-family="system-ui, sans-serif" font-size="12">{"".join(parts)}</svg>'


def _text(x: object, y: object, text: str, more: str) -> str:
    return f'<text x="{x}" y="{y}"{more}>{text}</text>'


def _rule(x1: object, x2: object, y1: object, y2: object) -> str:
    return f'<line x1="{x1}" x2="{x2}" y1="{y1}" y2="{y2}" stroke="#e5e7eb"/>'


_MIDDLE, _END = ' text-anchor="middle"', ' text-anchor="end"'


def _axes(left: int, right: int, top: int, bottom: int, width: int, height: int, x_label: str, y_label: str) -> str:
    """What is written along both axes of a drawing with these margins."""
    return (
        _text(f"{(left + width - right) / 2:.0f}", height - 5, escape(x_label), _MIDDLE)
        + f'<text transform="translate(13 {(top + height - bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )


def line_chart(
    series: Mapping[str, Sequence[float]],
    steps: Sequence[float],
    *,
    x_label: str,
    y_label: str,
    bold: str | None = None,
    width: int = _WIDTH,
    height: int = 280,
) -> str:
    """Draw one line per series over `steps` (all of one length); the series named `bold` is drawn thicker."""
    if not series or not len(steps):
        raise ValueError("A line chart needs at least one series and one step.")
    for name, values in series.items():
        if len(values) != len(steps):
            raise ValueError(f"Series {name!r} has {len(values)} values for {len(steps)} steps.")
    low = min(0.0, min(min(values) for values in series.values()))
    high = max(max(values) for values in series.values())
    ticks = _ticks(low, high if high > low else low + 1.0)
    low, high = ticks[0], ticks[-1]
    numbers = [f"{tick:.4g}" for tick in ticks]
    left, right, top, bottom = max(56, 16 + _room(numbers, 0)), _room(series, 130), 14, 42
    first, last = float(steps[0]), float(steps[-1])
    span = last - first or 1.0

    def x(step: float) -> float:
        return left + (step - first) / span * (width - left - right)

    def y(value: float) -> float:
        return top + (high - value) / (high - low) * (height - top - bottom)

    parts = []
    for value, number in zip(ticks, numbers, strict=True):
        parts.append(_rule(left, width - right, f"{y(value):.1f}", f"{y(value):.1f}"))
        parts.append(_text(left - 6, f"{y(value) + 4:.1f}", number, _END))
    for step in (first, (first + last) / 2, last):
        parts.append(_text(f"{x(step):.1f}", height - 22, f"{step:.4g}", _MIDDLE))
    # labels at the line ends are pushed apart, else lines that end together could not be told apart
    label_at: dict[str, float] = {}
    floor = float("-inf")
    for place, name in sorted((y(values[-1]), name) for name, values in series.items()):
        floor = label_at[name] = max(place, floor + 14)
    overflow = max(0.0, floor - (height - 8))
    for index, (name, values) in enumerate(series.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        points = " ".join(f"{x(float(step)):.1f},{y(value):.1f}" for step, value in zip(steps, values, strict=True))
        thick, weight = (3, ' font-weight="bold"') if name == bold else (1.3, "")
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="{thick}" points="{points}"/>')
        at = f"{label_at[name] - overflow + 4:.1f}"
        parts.append(_text(width - right + 6, at, escape(_short(name)), f' fill="{colour}"{weight}'))
    return _drawing(width, height, [*parts, _axes(left, right, top, bottom, width, height, x_label, y_label)])


def interval_chart(
    rows: Sequence[tuple[str, *tuple[Ends | None, ...]]],
    *,
    words: Sequence[str] = ("before", "after"),
    width: int = _WIDTH,
) -> str:
    """Rates between 0 and 1 as dots with intervals: per row a label and, for each of `words`, `(value, low, high)`.

    A word that no row has a rate for is left out.
    """
    left, right, top = _room((row[0] for row in rows), 190), 20, 22
    parts, shift = [], 0
    for place, word in enumerate(words):
        if all(row[1 + place] is None for row in rows):
            continue
        if left + shift + _room([word], 0) > width and shift:
            shift, top = 0, top + 18
        parts.append(f'<circle cx="{left + 6 + shift}" cy="{top - 13}" r="5" fill="{_COLOURS[place]}"/>')
        parts.append(_text(left + 15 + shift, top - 9, escape(_short(word)), ""))
        shift += _room([word], 70)
    row_height = max(34, 10 * len(words) + 14)
    height = top + row_height * len(rows) + 24

    def x(value: float) -> float:
        return left + min(max(value, 0.0), 1.0) * (width - left - right)

    for tick in range(0, 101, 25):
        at = f"{x(tick / 100):.1f}"
        parts += [_rule(at, at, top, height - 22), _text(at, height - 6, f"{tick} %", _MIDDLE)]
    for index, (label, *rates) in enumerate(rows):
        middle = top + row_height * index + row_height / 2
        parts.append(_text(left - 8, f"{middle + 4:.1f}", escape(_short(label)), _END))
        for place, rate in enumerate(rates):
            if rate is None:
                continue
            (value, low, high), y = map(x, rate), f"{middle + 10 * place - 5 * (len(words) - 1):.1f}"
            parts.append(
                f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="{_COLOURS[place]}" '
                f'stroke-width="2"/><circle cx="{value:.1f}" cy="{y}" r="4.5" fill="{_COLOURS[place]}"/>'
            )
    return _drawing(width, height, parts)


def tradeoff_chart(
    curves: Mapping[str, Sequence[tuple[float, float, str]]], chosen: Mapping[str, tuple[Ends, Ends]]
) -> str:
    """Residual over preservation: per method its settings as a line of `(kept, residual, label)`, and a dot with both
    intervals, each `(value, low, high)`, for the one that was chosen; all are shares, cut to [0, 1].

    Dots at one place are drawn as rings around each other, so that each can be seen."""
    left, right, top, bottom = 56, _room(curves, 150), 20, 58  # rings at 0 % and 100 % reach over the edge
    height = max(360, top + bottom + 16 * len(curves))

    def at(kept: float, residual: float) -> tuple[float, float]:
        kept, residual = (min(max(v, 0.0), 1.0) for v in (kept, residual))
        return left + kept * (_WIDTH - left - right), height - bottom - residual * (height - top - bottom)

    parts = []
    for tick in range(0, 101, 25):
        x, y = at(tick / 100, tick / 100)
        parts.append(_rule(left, _WIDTH - right, f"{y:.1f}", f"{y:.1f}"))
        parts.append(_text(left - 6, f"{y + 4:.1f}", f"{tick} %", _END))
        parts.append(_text(f"{x:.1f}", height - 26, f"{tick} %", _MIDDLE))
    taken: list[tuple[float, float]] = []
    for index, (name, measured) in enumerate(curves.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        points = [point for point in measured if point[0] == point[0]]  # without those that nothing could be kept of
        places = [at(kept, residual) for kept, residual, _ in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.3" points="{line}"/>')
        for (x, y), (_, _, label) in zip(places, points, strict=True):
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"><title>{escape(f"{name}, {label}")}</title>'
                "</circle>"
            )
        if name in chosen and chosen[name][0][0] == chosen[name][0][0]:
            (x, y), (left_end, low_end), (right_end, high_end) = (at(*both) for both in zip(*chosen[name], strict=True))
            before = sum(math.hypot(x - a, y - b) < 4 for a, b in taken)
            taken.append((x, y))
            ring = f'fill="none" stroke="{colour}" stroke-width="2"' if before else f'fill="{colour}"'
            aside = 2 * before  # so that intervals through one dot do not hide each other
            parts.append(
                f'<path d="M{left_end:.1f} {y + aside:.1f}H{right_end:.1f}'
                f'M{x + aside:.1f} {low_end:.1f}V{high_end:.1f}"'
                f' stroke="{colour}" stroke-width="1" opacity="0.6"/>'
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{5 + 3.5 * before:g}" {ring}>'
                f"<title>{escape(name)}</title></circle>"
            )
        parts.append(_text(_WIDTH - right + 12, top + 12 + 16 * index, escape(_short(name)), f' fill="{colour}"'))
    return _drawing(
        _WIDTH, height, [*parts, _axes(left, right, top, bottom, _WIDTH, height, "others kept", "generative rate")]
    )
