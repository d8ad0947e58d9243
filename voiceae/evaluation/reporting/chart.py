"""The chart of a report: the conversion between its floor and its ceiling, as SVG that fits any width."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from html import escape

from voiceae.evaluation.figures import FIGURES, Figure
from voiceae.evaluation.report import Report
from voiceae.evaluation.reporting.summary import known, label
from voiceae.evaluation.systems import ROWS

ROW_HEIGHT = 102  # px: a line of words, one of the value, the axis, and the names of its ends
FARTHEST = (
    0.2  # of the way from floor to ceiling that is shown beyond either; what lies farther is at the edge
)
MARGIN = 0.03

Position = Callable[[float], float]
"""Place on the axis, in per cent of its width, of a value."""


def chart(report: Report) -> str:
    """SVG with one axis a figure, its floor on the left and its ceiling on the right; empty without any.

    Positions across are in per cent and those down in pixels, so that letters keep their size at the width of a phone.
    """
    rows = report["rows"]
    shown = [
        (name, *(rows[row][name] for row in ("conversion", figure.floor, figure.ceiling)))
        for name, figure in FIGURES.items()
        if figure.charted
        and all(known(rows.get(row, {}).get(name)) for row in ("conversion", figure.floor, figure.ceiling))
    ]
    # Without any way from floor to ceiling nothing can lie between them.
    shown = [each for each in shown if each[2]["mean"] != each[3]["mean"]]
    if not shown:
        return ""
    height = ROW_HEIGHT * len(shown)
    axes = "".join(
        f'<svg y="{ROW_HEIGHT * index}" width="100%" height="{ROW_HEIGHT}">'
        + "".join(_axis(label(report, name), FIGURES[name], conversion, floor, ceiling))
        + "</svg>"
        for index, (name, conversion, floor, ceiling) in enumerate(shown)
    )
    return f'<svg class="chart" role="img" width="100%" height="{height}">{axes}</svg>'


def way(value: float, floor: float, ceiling: float) -> float:
    """How far a value is on the way from floor to ceiling: 0 at the one, 1 at the other."""
    return (value - floor) / (ceiling - floor)


def _axis(
    words: str,
    figure: Figure,
    conversion: Mapping[str, float],
    floor: Mapping[str, float],
    ceiling: Mapping[str, float],
) -> Iterator[str]:
    """Elements of one figure's axis."""

    def place(value: float) -> float:
        gone = min(1 + FARTHEST, max(-FARTHEST, way(value, floor["mean"], ceiling["mean"])))
        return 100 * (gone + FARTHEST + MARGIN) / (1 + 2 * FARTHEST + 2 * MARGIN)

    value = figure.interval(conversion)
    ends = [
        f"{ROWS[row].words} {figure.text(values['mean'])}"
        for row, values in ((figure.floor, floor), (figure.ceiling, ceiling))
    ]
    gone = 100 * way(conversion["mean"], floor["mean"], ceiling["mean"])
    yield f"<title>{escape(f'{words}: {value}, {gone:.0f} % of the way from {ends[0]} to {ends[1]}')}</title>"
    yield f'<text x="0" y="16" class="words">{escape(words)}</text>'
    # Below the words: beside them there is no place for both at the width of a phone.
    yield f'<text x="0" y="34" class="value">{escape(value)}</text>'
    yield '<line x1="0" x2="100%" y1="56" y2="56" class="axis"/>'
    for values, text, anchor in ((floor, ends[0], "start"), (ceiling, ends[1], "end")):
        yield _bar("band", values, place, 46, 20)
        x = place(values["mean"])
        yield f'<line x1="{x:.2f}%" x2="{x:.2f}%" y1="46" y2="66" class="end"/>'
        yield f'<text x="{x:.2f}%" y="80" text-anchor="{anchor}" class="name">{escape(text)}</text>'
    yield _bar("interval", conversion, place, 53, 6)
    yield f'<circle cx="{place(conversion["mean"]):.2f}%" cy="56" r="6" class="mean"/>'


def _bar(kind: str, values: Mapping[str, float], place: Position, y: int, height: int) -> str:
    """An interval as a rectangle, whichever of its ends is the better one."""
    left, right = sorted(place(values[end]) for end in ("low", "high"))
    return f'<rect x="{left:.2f}%" width="{right - left:.2f}%" y="{y}" height="{height}" class="{kind}"/>'
