"""The chart: runs a second, and the CPU that one run takes, of each shape and contender; plain SVG."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from benchmarks.engine.contenders import TITLES
from benchmarks.engine.shapes import SHAPES

COLOURS = {"a": "#9aa5b1", "b": "#5c6b7a", "c": "#2f7de1", "d": "#0a9d6e", "e": "#c98a3d", "f": "#8d6bb8"}
_WIDTH, _LEFT, _RIGHT, _HEIGHT, _TOP = 1000, 60, 20, 230, 70
_GAP = 70
_FONT = 'font-family="system-ui, sans-serif"'


def chart(found: dict[str, Any]) -> str:
    """Two panels, one above the other. The paler part of a bar below is the server's, the other one the contender's."""
    rows = {(row["shape"], row["contender"]): row for row in found["runs"]}
    shapes = [shape for shape in SHAPES if any((shape.name, letter) in rows for letter in TITLES)]
    letters = [letter for letter in TITLES if any((shape.name, letter) in rows for shape in shapes)]
    height = _TOP + 2 * _HEIGHT + 2 * _GAP
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        *_legend(letters),
    ]

    def rate(shape: str, letter: str) -> list[float]:
        return [rows[shape, letter]["rate"]] if (shape, letter) in rows else []

    def cpu(shape: str, letter: str) -> list[float]:
        row = rows.get((shape, letter))
        return [] if row is None else [row["server_cpu"] or 0.0, row["worker_cpu"] or 0.0]

    names = [(shape.name, shape.title) for shape in shapes]
    for number, (title, of) in enumerate(
        [
            ("runs a second: more is better", rate),
            ("ms of CPU for a run: server (pale), worker and client; less is better", cpu),
        ]
    ):
        top = _TOP + number * (_HEIGHT + _GAP)
        bars = {(name, letter): of(name, letter) for name, _ in names for letter in letters}
        drawn += _panel(title, top, names, letters, bars)
    return "\n".join([*drawn, "</svg>"]) + "\n"


def _legend(letters: list[str]) -> list[str]:
    drawn, x = [], _LEFT
    for letter in letters:
        text = f"({letter}) {TITLES[letter]}"
        drawn.append(f'<rect x="{x}" y="14" width="14" height="14" fill="{COLOURS[letter]}"/>')
        drawn.append(f'<text x="{x + 20}" y="26" font-size="14" {_FONT} fill="#222">{escape(text)}</text>')
        x += 40 + 8 * len(text)
    return drawn


def _panel(
    title: str,
    top: int,
    names: list[tuple[str, str]],
    letters: list[str],
    bars: dict[tuple[str, str], list[float]],
) -> list[str]:
    """Groups of bars for *names*; a bar of two values has the second on top of the first, which is paler."""
    most = _round(max((sum(values) for values in bars.values()), default=1.0) or 1.0)
    bottom = top + _HEIGHT
    drawn = [f'<text x="{_LEFT}" y="{top - 12}" font-size="14" {_FONT} fill="#222">{escape(title)}</text>']
    for step in range(5):
        y = bottom - _HEIGHT * step / 4
        drawn.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dde2e7"/>'
        )
        drawn.append(
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" font-size="12" {_FONT} fill="#555" text-anchor="end">'
            f"{most * step / 4:g}</text>"
        )
    group = (_WIDTH - _LEFT - _RIGHT) / max(len(names), 1)
    width = group * 0.8 / max(len(letters), 1)
    for number, (name, shown) in enumerate(names):
        start = _LEFT + number * group + group * 0.1
        middle = _LEFT + (number + 0.5) * group
        drawn.append(
            f'<text x="{middle:.1f}" y="{bottom + 18}" font-size="13" {_FONT} fill="#222" text-anchor="middle">'
            f"{escape(shown)}</text>"
        )
        for place, letter in enumerate(letters):
            values, y = bars[name, letter], float(bottom)
            x = start + place * width
            for layer, value in enumerate(values):
                tall = _HEIGHT * value / most
                y -= tall
                pale = ' fill-opacity="0.55"' if len(values) > 1 and layer == 0 else ""
                drawn.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{tall:.1f}" '
                    f'fill="{COLOURS[letter]}"{pale}/>'
                )
            if values:
                drawn.append(
                    f'<text x="{x + width / 2 - 1:.1f}" y="{y - 4:.1f}" font-size="10" {_FONT} fill="#333" '
                    f'text-anchor="middle">{sum(values):.0f}</text>'
                )
    return drawn


def _round(value: float) -> float:
    """The next number above *value* that divides well by four."""
    size = 1.0
    while size * 10 < value:
        size *= 10
    return next(size * step for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10, 12) if size * step >= value)
