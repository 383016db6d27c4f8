"""Drawings of an evaluation as SVG and HTML fragments. Colours come from the page's style, light or dark."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

import numpy as np

from her_robot.contract import Contract, contract_of
from her_robot.evaluation.distance import written
from her_robot.evaluation.episodes import Episode, Evaluation
from her_robot.evaluation.statistics import quantiles

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 10, 36
_MOST_CURVES = 200
_BINS_PER_DECADE = 24
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def outcomes(evaluation: Evaluation) -> str:
    """A small square for each episode, in the order of the seeds: full where the goal was reached, hollow where not."""
    contract = contract_of(evaluation.task)
    squares = "".join(
        f'<i class="{_kind(episode)}" title="seed {episode.seed}: {_outcome(episode, contract)}"></i>'
        for episode in evaluation.episodes
    )
    return f'<div class="outcomes">{squares}</div>'


def interval(rate: float, low: float, high: float, at_least: float | None = None) -> str:
    """A rate and its interval on a scale from 0 to 1, with a mark at the rate that was asked about."""
    mark = f'<b class="asked" style="left:{_percent(at_least)}"></b>' if at_least is not None else ""
    return (
        f'<div class="interval">{mark}<b class="range" style="left:{_percent(low)};width:{_percent(high - low)}"></b>'
        f'<b class="rate" style="left:{_percent(rate)}"></b></div>'
    )


def distances(evaluation: Evaluation) -> str:
    """Distance to the goal over time, one curve an episode, and their median."""
    contract = contract_of(evaluation.task)
    shown = _shown(evaluation.episodes)
    steps = max(len(episode.distances) for episode in shown)
    duration = contract.control_period * steps
    highest = max(1.5 * contract.success_threshold, *(max(episode.distances) for episode in shown))
    plot = _Axes(duration, highest)
    within = plot.y(contract.success_threshold)
    parts = [
        f'<rect class="band" x="{_LEFT}" y="{within:.1f}" width="{_WIDTH - _LEFT - _RIGHT}" '
        f'height="{_HEIGHT - _BOTTOM - within:.1f}"/>',
        plot.grid("time [s]", contract.distance_unit),
    ]
    for episode in sorted(shown, key=lambda episode: not episode.success):
        title = f"<title>seed {episode.seed}: {_outcome(episode, contract)}</title>"
        points = plot.points(contract.control_period, episode.distances)
        parts.append(f'<polyline class="{_kind(episode)}" points="{points}">{title}</polyline>')
    full = [episode.distances for episode in evaluation.episodes if len(episode.distances) == steps]
    median = plot.points(contract.control_period, np.median(full, axis=0).tolist())
    parts.append(f'<polyline class="median" points="{median}"/>')
    parts.append(f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{within:.1f}" y2="{within:.1f}"/>')
    label = f"reached: within {written(contract.success_threshold, contract, 0)}"
    parts.append(f'<text class="hint" x="{_WIDTH - _RIGHT - 6}" y="{within - 6:.1f}" text-anchor="end">{label}</text>')
    drawing = "".join(parts)
    left_out = len(evaluation.episodes) - len(shown)
    note = f"<p class='hint'>{left_out} of {len(evaluation.episodes)} curves are left out.</p>" if left_out else ""
    return (
        f'<svg class="distances" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{_ARIA}">{drawing}</svg>{note}'
    )


def distributions(samples: Mapping[str, Sequence[float]], unit: str, limit: float | None = None) -> str:
    """A table of histograms on one logarithmic axis, with quantiles.

    Args:
        samples: by name, in the order of the rows.
        unit: of the samples.
        limit: where to draw a line, such as a control period.
    """
    positive = [value for values in samples.values() for value in values if value > 0]
    if not positive:
        return ""
    low, high = floor(log10(min(positive))), ceil(log10(max(positive) * 1.001))
    low = max(low, high - 5)
    axis = _LogAxis(low, max(high, low + 1))
    heads = "".join(f"<th>{name}</th>" for name in _QUANTILES)
    rows = "".join(
        f"<tr><th>{escape(name.replace('_', ' '))}</th><td class='wide'>{axis.histogram(values, limit)}</td>"
        + "".join(f"<td>{_short(value)}</td>" for value in quantiles(values, _QUANTILES).values())
        + "</tr>"
        for name, values in samples.items()
    )
    return (
        f"<table class='distributions'><thead><tr><th></th><th class='wide'>{escape(unit)}</th>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody><tfoot><tr><th></th><td class='wide'>{axis.labels()}</td><td colspan='4'></td></tr>"
        "</tfoot></table>"
    )


_ARIA = "distance to the goal over time"


class _Axes:
    """Linear axes from 0 on, with round ticks."""

    def __init__(self, x_high: float, y_high: float) -> None:
        self._x_high, self._y_high = x_high, y_high

    def x(self, value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / self._x_high

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / self._y_high

    def points(self, period: float, values: Sequence[float]) -> str:
        """Of a curve whose first value comes after one period."""
        return " ".join(f"{self.x((i + 1) * period):.1f},{self.y(value):.1f}" for i, value in enumerate(values))

    def grid(self, x_label: str, y_unit: str) -> str:
        bottom, parts = _HEIGHT - _BOTTOM, []
        for value in _ticks(self._y_high):
            y, text = self.y(value), f"{value:g} {y_unit}" if value else "0"
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
        for value in _ticks(self._x_high):
            parts.append(f'<text x="{self.x(value):.1f}" y="{bottom + 17}" text-anchor="middle">{value:g}</text>')
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(f'<text class="hint" x="{middle:.1f}" y="{_HEIGHT - 3}" text-anchor="middle">{x_label}</text>')
        return "".join(parts)


class _LogAxis:
    """A logarithmic axis over whole decades."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def position(self, value: float) -> float:
        """From 0 to 100, the ends for what lies beyond."""
        lowest = 10.0**self._low
        return 100 * min(1.0, max(0.0, (log10(max(value, lowest)) - self._low) / (self._high - self._low)))

    def histogram(self, values: Sequence[float], limit: float | None) -> str:
        bins = _BINS_PER_DECADE * (self._high - self._low)
        positions = [self.position(value) for value in values]
        counts, _ = np.histogram(positions, bins=bins, range=(0.0, 100.0))
        width = 100 / bins
        bars = "".join(
            f'<rect x="{i * width:.2f}" y="{24 - bar:.2f}" width="{width:.2f}" height="{bar:.2f}"/>'
            for i, bar in enumerate(22 * np.sqrt(counts / counts.max()))
            if bar
        )
        decades = (self.position(10.0**k) for k in range(self._low, self._high + 1))
        grid = "".join(f'<line class="grid" x1="{x:.2f}" x2="{x:.2f}" y1="0" y2="24"/>' for x in decades)
        at = self.position(limit) if limit is not None else 0.0
        line = f'<line class="limit" x1="{at:.2f}" x2="{at:.2f}" y1="0" y2="24"/>' if limit is not None else ""
        return f'<svg class="histogram" viewBox="0 0 100 24" preserveAspectRatio="none">{grid}{bars}{line}</svg>'

    def labels(self) -> str:
        spans = (
            f'<span style="left:{self.position(10.0**k):.2f}%">{10.0**k:g}</span>'
            for k in range(self._low, self._high + 1)
        )
        return f'<div class="ticks">{"".join(spans)}</div>'


def _shown(episodes: Sequence[Episode]) -> list[Episode]:
    """All failures first, as many as are drawn; then successes, evenly."""
    failures = [episode for episode in episodes if not episode.success][:_MOST_CURVES]
    successes = [episode for episode in episodes if episode.success]
    room = min(len(successes), _MOST_CURVES - len(failures))
    picked = np.linspace(0, len(successes) - 1, room).round().astype(int) if room else []
    return failures + [successes[i] for i in picked]


def _ticks(high: float) -> list[float]:
    """Round numbers from 0 to `high`, four to eight of them."""
    rough = high / 5
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [float(f"{i * step:.10g}") for i in range(int(high / step + 1e-9) + 1)]


def _kind(episode: Episode) -> str:
    return "reached" if episode.success else "missed"


def _outcome(episode: Episode, contract: Contract) -> str:
    return f"{_kind(episode)}, {written(episode.final_distance, contract, 0)} at the end"


def _percent(part: float) -> str:
    return f"{100 * part:.2f}%"


def _short(value: float | None) -> str:
    """Three significant digits."""
    return "–" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"
