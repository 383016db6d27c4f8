"""The report of evaluations: a folder with a page to look at, and the numbers as JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from her_robot.configuration import write_atomically
from her_robot.errors import HerRobotError
from her_robot.evaluation.episodes import Evaluation
from her_robot.evaluation.page import Section, page


def prepare_directory(directory: Path) -> Path:
    """An empty folder for a report.

    Raises:
        HerRobotError: it exists and holds something.
    """
    if directory.is_dir() and any(directory.iterdir()):
        raise HerRobotError(f"{directory} is not empty; choose another --report, or remove it")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def write_json(path: Path, values: Mapping[str, Any] | Sequence[Any]) -> None:
    """JSON for people to read and programs to parse."""
    write_atomically(path, json.dumps(values, indent=2) + "\n")


def write_report(directory: Path, sections: Sequence[Section]) -> Path:
    """Write index.html and summary.json; returns the page.

    Args:
        directory: where to.
        sections: one or several evaluations. Of several, summary.json is a list.
    """
    write_json(directory / "summary.json", to_json([section.evaluation for section in sections]))
    path = directory / "index.html"
    write_atomically(path, page(sections))
    return path


def to_json(evaluations: Sequence[Evaluation]) -> dict[str, Any] | list[dict[str, Any]]:
    """One evaluation as it is, or several as a list."""
    values = [evaluation.to_json() for evaluation in evaluations]
    return values[0] if len(values) == 1 else values
