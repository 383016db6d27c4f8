"""One page of HTML that shows evaluations, with everything inside: it can be mailed, and opened in twenty years."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from html import escape

import cv2
import numpy as np

from her_robot import __version__
from her_robot.contract import Contract, contract_of
from her_robot.evaluation import plots
from her_robot.evaluation.distance import distance_key, written
from her_robot.evaluation.episodes import Episode, Evaluation, worst_first
from her_robot.evaluation.film import Film, encode, thumbnail
from her_robot.evaluation.page_style import STYLE
from her_robot.evaluation.sequential import ERROR

MOST_PICTURES = 12
"""Of failures."""
_PICTURE_WIDTH = 320
_JPEG_QUALITY = 82
_STAGES = ("camera", "estimate", "policy", "inverse_kinematics", "safety", "total", "sensor_to_command")
_LOOPS = {"sim": "in simulation", "ros": "in the loop over ROS 2"}


@dataclass(frozen=True)
class Section:
    """One evaluation on a page, and what was filmed of it."""

    evaluation: Evaluation
    name: str = ""
    """What was evaluated, such as the robot's name. Empty: as the evaluation says."""
    condition: str = ""
    """Under which condition, such as a fault: the column of the matrix."""
    images: Mapping[int, np.ndarray] = field(default_factory=dict)
    """A camera's last image of episodes, by seed, RGB uint8."""
    film: Film | None = None
    """The worst episode."""

    @property
    def title(self) -> str:
        """`name`, or the robot's or the environment's."""
        extra = self.evaluation.extra
        return self.name or str(extra.get("simulated_robot") or extra.get("environment") or self.evaluation.task)


def page(sections: Sequence[Section]) -> str:
    """The page of one or several evaluations."""
    several = len(sections) > 1
    tasks = list(dict.fromkeys(section.evaluation.task for section in sections))
    loop = _LOOPS[sections[0].evaluation.loop]
    heading = f"{', '.join(tasks)}, {loop}"
    body = _overview(sections) if several else ""
    body += "".join(_section(section, f"s{i}", several) for i, section in enumerate(sections))
    written = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(heading)}</title><style>{STYLE}</style></head><body>"
        f'<header><p class="eyebrow">Evaluation report · her_robot {__version__} · {written}</p>'
        f"<h1>{escape(heading)}</h1></header>{body}</body></html>\n"
    )


def _overview(sections: Sequence[Section]) -> str:
    rows = "".join(_overview_row(section, f"s{i}") for i, section in enumerate(sections))
    heads = "<th class='text'>evaluation</th><th class='text'>success rate, 0 to 1</th><th></th>"
    heads += "<th>distance</th><th>time to goal</th>"
    table = f"<table class='numbers'><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f"{_matrix(sections)}<h3>All of them</h3><p class='hint'>95 % intervals of the success rate.</p>{table}"


def _overview_row(section: Section, anchor: str) -> str:
    summary = section.evaluation.summary()
    low, high = summary["success_ci95"]
    rate = summary["success_rate"] or 0.0
    label = " · ".join(filter(None, (section.title, section.condition)))
    return (
        f"<tr><td class='text'><a href='#{anchor}'>{escape(label)}</a></td>"
        f"<td class='text' style='width:32%'>{plots.interval(rate, low, high, section.evaluation.at_least)}</td>"
        f"<td>{summary['successes']} of {summary['episodes']}</td>"
        f"<td>{written(summary['final_distance']['p50'], contract_of(section.evaluation.task))}</td>"
        f"<td>{_seconds(summary['time_to_goal_s']['p50'])}</td></tr>"
    )


def _matrix(sections: Sequence[Section]) -> str:
    """Success rates by what was evaluated and under which condition; empty where there is one condition alone."""
    several_tasks = len({section.evaluation.task for section in sections}) > 1

    def column(section: Section) -> str:
        parts = (section.evaluation.task if several_tasks else "", section.condition)
        return " · ".join(filter(None, parts)) or "as it is"

    rows = list(dict.fromkeys(section.title for section in sections))
    columns = list(dict.fromkeys(map(column, sections)))
    if len(columns) < 2:
        return ""
    cells = {(section.title, column(section)): _matrix_cell(section.evaluation) for section in sections}
    heads = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr><th>{escape(row)}</th>"
        + "".join(cells.get((row, name), "<td class='none'>–</td>") for name in columns)
        + "</tr>"
        for row in rows
    )
    return (
        "<h3>Success rates</h3><div class='scroll'><table class='matrix'>"
        f"<thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _matrix_cell(evaluation: Evaluation) -> str:
    summary = evaluation.summary()
    if summary["success_rate"] is None:
        return "<td class='none'>no episode</td>"
    rate = 100 * summary["success_rate"]
    counts = f"{summary['successes']} of {summary['episodes']}"
    return f"<td style='--rate:{rate:.1f}'><b>{rate:.0f} %</b><small>{counts}</small></td>"


def _section(section: Section, anchor: str, several: bool) -> str:
    evaluation, summary = section.evaluation, section.evaluation.summary()
    heading = ""
    if several:
        condition = f" <small class='hint'>{escape(section.condition)}</small>" if section.condition else ""
        heading = f"<h2>{escape(section.title)}{condition}</h2>"
    parts = [heading, _facts(section)]
    if evaluation.extra.get("failure"):
        parts.append(f"<p class='failure'><b>Ended early.</b> {escape(str(evaluation.extra['failure']))}</p>")
    if not evaluation.episodes:
        parts.append("<p>No episode was played to its end.</p>")
    else:
        parts += [
            _hero(evaluation),
            _figures(evaluation, summary),
            "<h3>Distance to the goal</h3><p class='hint'>One curve an episode; the dark one is the median.</p>"
            f"{plots.distances(evaluation)}",
            _timing(evaluation),
            _film(evaluation, section.film),
            _pictures(evaluation, section.images),
            _episodes(evaluation),
        ]
    numbers = escape(json.dumps({key: value for key, value in summary.items() if key != "seeds"}, indent=2))
    parts.append(f"<details><summary>All numbers</summary><pre>{numbers}</pre></details>")
    return f"<section id='{anchor}'>{''.join(parts)}</section>"


def _facts(section: Section) -> str:
    evaluation = section.evaluation
    facts = {"policy": evaluation.policy}
    for key in ("environment", "simulated_robot", "mode"):
        if key in evaluation.extra:
            facts[key.replace("_", " ")] = str(evaluation.extra[key]).replace("_", " ")
    if evaluation.episodes:
        facts["seeds"] = f"{evaluation.episodes[0].seed} to {evaluation.episodes[-1].seed}"
    items = "".join(f"<span>{name} <b>{escape(value)}</b></span>" for name, value in facts.items())
    return f"<div class='facts'>{items}</div>"


def _hero(evaluation: Evaluation) -> str:
    summary = evaluation.summary()
    low, high = summary.get("success_interval_anytime", summary["success_ci95"])
    kind = "95 % interval (Wilson)"
    if evaluation.at_least is not None:
        kind = f"interval that holds at any time, {100 * ERROR:g} % error on each side"
    return (
        f"<div class='hero'>{_verdict(evaluation)}"
        f"<p class='lead'><b>{summary['successes']} of {summary['episodes']}</b> goals reached</p>"
        f"<p class='hint'>{100 * summary['success_rate']:.1f} %; {kind}: {100 * low:.1f} to {100 * high:.1f} %</p>"
        f"{plots.interval(summary['success_rate'], low, high, evaluation.at_least)}"
        f"<div class='scale hint'><span>0</span><span>success rate</span><span>1</span></div>"
        f"{plots.outcomes(evaluation)}</div>"
    )


def _verdict(evaluation: Evaluation) -> str:
    answer = evaluation.verdict()
    if answer is None:
        return ""
    text = {"above": "above", "below": "below", "undecided": "not decided at"}[answer.value]
    return f"<p><span class='verdict {answer.value}'>{text} {evaluation.at_least:g}</span></p>"


def _figures(evaluation: Evaluation, summary: Mapping) -> str:
    final, times, smooth = summary["final_distance"], summary["time_to_goal_s"], summary["smoothness"]
    contract = contract_of(evaluation.task)
    median, largest = written(final["p50"], contract), written(final["p95"], contract)
    figures = [
        ("Final distance", median, f"median; 95 % below {largest}"),
        ("Time to goal", _seconds(times["p50"]), f"median; 95 % below {_seconds(times['p95'])}"),
    ]
    if smooth["p50"] is not None:
        figures.append(("Smoothness", f"{smooth['p50']:.2f}", "spectral arc length; one straight reach: −1.4"))
    if "latency_ms" in summary:
        latency, age, safety = summary["latency_ms"], summary["age_s"].get("goal", {}), summary["safety"]
        hertz = 1.0 / contract.control_period
        figures += [
            ("Sensor to command", _milliseconds(latency["p99"]), f"p99; median {_milliseconds(latency['p50'])}"),
            ("Deadlines missed", str(summary["deadline_misses"]), f"at {hertz:.0f} Hz"),
            ("Age of the goal", _seconds(age.get("p50")), f"median; at most {_seconds(age.get('max'))}"),
            ("Limited commands", str(safety["clamped"]), "by joints or workspace"),
            ("Holds and stops", f"{safety['holds']} <small>and</small> {safety['estops']}", "by the safety layer"),
        ]
    cards = "".join(
        f"<div class='figure'><span>{name}</span><b>{value}</b><span>{note}</span></div>"
        for name, value, note in figures
    )
    return f"<div class='figures'>{cards}</div>"


def _timing(evaluation: Evaluation) -> str:
    measured, ages = evaluation.latency_ms(), evaluation.age_s()
    if not measured:
        return ""
    period_ms = 1000 * contract_of(evaluation.task).control_period
    stages = {stage: measured[stage] for stage in _STAGES if stage in measured}
    ages_ms = {name: [1000 * age for age in values] for name, values in ages.items() if any(values)}
    return (
        "<h3>Latency of each stage</h3><p class='hint'>The camera's row is of each image, the others of each control "
        f"period; the dashed line is the deadline, {period_ms:g} ms. Heights are square roots of counts, so that a "
        f"single late one is seen.</p>{plots.distributions(stages, 'ms', period_ms)}"
        "<h3>Age of what the policy acted on</h3><p class='hint'>From acquisition by the sensor to the control "
        f"period.</p>{plots.distributions(ages_ms, 'ms')}"
    )


def _film(evaluation: Evaluation, film: Film | None) -> str:
    encoded = encode(film) if film is not None else None
    if film is None or encoded is None:
        return ""
    episode = next(episode for episode in evaluation.episodes if episode.seed == film.seed)
    contract = contract_of(evaluation.task)
    source = f"data:video/mp4;base64,{base64.b64encode(encoded).decode()}"
    return (
        "<h3>The worst episode</h3><div class='film'>"
        f"<video src='{source}' controls autoplay loop muted playsinline></video>"
        f"<figcaption>{_caption(episode, contract)}<br>As a camera saw it while the policy ran, at its true speed."
        "</figcaption></div>"
    )


def _pictures(evaluation: Evaluation, images: Mapping[int, np.ndarray]) -> str:
    """Failures, the worst first; where there is none, the episodes that came nearest to one."""
    contract = contract_of(evaluation.task)
    ordered = [episode for episode in worst_first(evaluation.episodes) if episode.seed in images]
    failures = [episode for episode in ordered if not episode.success]
    shown = (failures or ordered)[:MOST_PICTURES]
    if not shown:
        return ""
    figures = "".join(
        f"<figure><img alt='last image of seed {episode.seed}' src='{_jpeg(images[episode.seed])}'>"
        f"<figcaption>{_caption(episode, contract)}</figcaption></figure>"
        for episode in shown
    )
    title = "Failures" if failures else "No failure; the least exact episodes"
    more = f"<p class='hint'>The worst {len(shown)} of {len(failures)}.</p>" if len(failures) > len(shown) else ""
    return f"<h3>{title}</h3>{more}<div class='pictures'>{figures}</div>"


def _caption(episode: Episode, contract: Contract) -> str:
    kind = "reached" if episode.success else "missed"
    note = f"<br>{escape(episode.note)}" if episode.note else ""
    return f"<b class='{kind}'>{kind}</b>, {written(episode.final_distance, contract)} · seed {episode.seed}{note}"


def _episodes(evaluation: Evaluation) -> str:
    contract = contract_of(evaluation.task)
    columns = {
        distance_key(contract): ("final distance", lambda value: written(value, contract)),
        "time_to_goal_s": ("time to goal", _seconds),
        "smoothness": ("smoothness", lambda value: _number(value, ".2f")),
        "clamped": ("limited", str),
        "holds": ("holds", str),
        "estops": ("stops", str),
        "deadline_misses": ("late", str),
        "goal_age_max_s": ("oldest goal", _seconds),
        "sensor_to_command_max_ms": ("slowest", _milliseconds),
    }
    episodes = evaluation.to_json()["per_episode"]
    columns = {key: column for key, column in columns.items() if key in episodes[0]}
    noted = any(values["note"] for values in episodes)
    heads = "".join(f"<th>{name}</th>" for name, _ in columns.values())
    rows = "".join(
        f"<tr><td class='text'>{values['seed']}</td><td class='text {kind}'>{kind}</td>"
        + "".join(f"<td>{form(values[key])}</td>" for key, (_, form) in columns.items())
        + (f"<td class='text'>{escape(values['note'])}</td></tr>" if noted else "</tr>")
        for values in episodes
        for kind in ("reached" if values["success"] else "missed",)
    )
    return (
        "<h3>Episodes</h3><div class='scroll'><table class='numbers'><thead><tr><th class='text'>seed</th>"
        f"<th class='text'>goal</th>{heads}{'<th></th>' if noted else ''}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _jpeg(image: np.ndarray) -> str:
    small = cv2.cvtColor(thumbnail(image, _PICTURE_WIDTH), cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "–" if value is None else f"{value:{form}}{unit}"


def _seconds(seconds: float | None) -> str:
    return _number(seconds, ".2f", " s")


def _milliseconds(value: float | None) -> str:
    return _number(value, ".1f", " ms")
