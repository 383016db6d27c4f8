"""The report of an evaluation: a folder with a page to look at, its pictures, and the numbers as JSON."""

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from her_robot.configuration import write_atomically
from her_robot.contract import contract_of
from her_robot.errors import HerRobotError
from her_robot.evaluation.episodes import Evaluation

_SUCCESS, _FAILURE = "#2a9d8f", "#c1443c"
_SHEET_COLUMNS = 5
_TILE_WIDTH = 320
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .2rem .8rem; text-align: left; border-bottom: 1px solid #ddd }
img { max-width: 100% }
.ok { color: #2a9d8f }
.bad { color: #c1443c }
.big { font-size: 2rem }
"""


def prepare_directory(directory: Path) -> Path:
    """An empty folder for a report.

    Raises:
        HerRobotError: it exists and holds something.
    """
    if directory.is_dir() and any(directory.iterdir()):
        raise HerRobotError(f"{directory} is not empty; choose another --report, or remove it")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def write_json(path: Path, summary: dict[str, Any]) -> None:
    """The summary, as `--json` promises it."""
    write_atomically(path, json.dumps(summary, indent=2) + "\n")


def write_report(
    directory: Path,
    evaluation: Evaluation,
    images: Sequence[np.ndarray] = (),
    latency_ms: dict[str, list[float]] | None = None,
) -> Path:
    """Write summary.json, index.html and its pictures; returns the page.

    Args:
        directory: where to.
        evaluation: what to report.
        images: last camera image of each episode, RGB uint8.
        latency_ms: of every control tick, by stage.
    """
    pictures = {"distance.png": _draw_distances(evaluation)}
    if latency_ms:
        pictures["latency.png"] = _draw_latencies(latency_ms)
    if len(images):
        pictures["contact_sheet.jpg"] = contact_sheet(evaluation, images)
    for name, content in pictures.items():
        write_atomically(directory / name, content)
    write_json(directory / "summary.json", evaluation.summary())
    page = directory / "index.html"
    write_atomically(page, _page(evaluation, pictures))
    return page


def contact_sheet(evaluation: Evaluation, images: Sequence[np.ndarray]) -> bytes:
    """A JPEG of small pictures in a grid, framed green where the episode succeeded and red where not."""
    tiles = []
    for episode, image in zip(evaluation.episodes, images, strict=False):
        height = round(image.shape[0] * _TILE_WIDTH / image.shape[1])
        tile = cv2.cvtColor(cv2.resize(image, (_TILE_WIDTH, height), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
        color = (143, 157, 42) if episode.success else (60, 68, 193)
        cv2.rectangle(tile, (0, 0), (tile.shape[1] - 1, tile.shape[0] - 1), color, 6)
        text = f"{episode.seed}: {1000 * episode.final_distance:.0f} mm"
        cv2.putText(tile, text, (12, height - 14), cv2.FONT_HERSHEY_SIMPLEX, 0.55, color, 2, cv2.LINE_AA)
        tiles.append(tile)
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % min(_SHEET_COLUMNS, len(tiles)))
    columns = min(_SHEET_COLUMNS, len(tiles))
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return cv2.imencode(".jpg", np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _draw_distances(evaluation: Evaluation) -> bytes:
    from matplotlib.figure import Figure

    contract = contract_of(evaluation.task)
    figure = Figure(figsize=(8, 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    for episode in evaluation.episodes:
        seconds = contract.control_period * np.arange(1, len(episode.distances) + 1)
        color = _SUCCESS if episode.success else _FAILURE
        axes.plot(seconds, episode.distances, color=color, alpha=0.5, linewidth=1)
    axes.axhline(contract.success_distance, color="black", linestyle="--", linewidth=1)
    axes.set(xlabel="time [s]", ylabel="distance to the goal [m]", ylim=(0, None))
    axes.grid(alpha=0.3)
    return _png(figure)


def _draw_latencies(latency_ms: dict[str, list[float]]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    stages = sorted(latency_ms, key=lambda stage: float(np.median(latency_ms[stage])))
    axes.boxplot([latency_ms[stage] for stage in stages], orientation="horizontal", whis=(1, 99), showfliers=False)
    axes.set_yticks(range(1, len(stages) + 1), stages)
    axes.set(xlabel="time of each stage [ms]; whiskers: 1 % and 99 %", xlim=(0, None))
    axes.grid(alpha=0.3, axis="x")
    return _png(figure)


def _png(figure) -> bytes:
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def _page(evaluation: Evaluation, pictures: dict[str, bytes]) -> str:
    summary = evaluation.summary()
    low, high = summary["success_ci95"]
    rows = "".join(
        f"<tr><td>{episode.seed}</td><td class={'ok' if episode.success else 'bad'}>"
        f"{'reached' if episode.success else 'missed'}</td><td>{1000 * episode.final_distance:.1f}</td>"
        f"<td>{html.escape(episode.note)}</td></tr>"
        for episode in evaluation.episodes
    )
    figures = "".join(
        f"<h2>{html.escape(_CAPTIONS[name])}</h2><img src='data:image/{_type(name)};base64,{_base64(content)}'>"
        for name, content in pictures.items()
    )
    rest = html.escape(json.dumps({key: value for key, value in summary.items() if key != "seeds"}, indent=2))
    return (
        f"<!doctype html><meta charset=utf-8><title>{evaluation.task}</title><style>{_STYLE}</style>"
        f"<h1>{evaluation.task}, {_LOOPS[evaluation.loop]}</h1>"
        f"<p class=big>{summary['successes']} of {summary['episodes']} goals reached</p>"
        f"<p>95 % interval of the success rate: {low:.2f} to {high:.2f}. Final distance to the goal: median "
        f"{1000 * (summary['final_distance']['p50'] or 0):.0f} mm, 95 % below "
        f"{1000 * (summary['final_distance']['p95'] or 0):.0f} mm; a goal is reached within 50 mm at the last step.</p>"
        f"{figures}<h2>Episodes</h2><table><tr><th>seed</th><th>goal</th><th>final distance [mm]</th><th></th></tr>"
        f"{rows}</table><h2>All numbers</h2><pre>{rest}</pre>"
    )


_CAPTIONS = {
    "distance.png": "Distance to the goal",
    "latency.png": "Latency",
    "contact_sheet.jpg": "What the camera saw last",
}
_LOOPS = {"sim": "in simulation", "ros": "in the loop over ROS 2"}


def _type(name: str) -> str:
    return "png" if name.endswith("png") else "jpeg"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
