"""`her-robot evaluate --robots` and `--faults`: one policy on other robots, and while things break."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from her_robot.configuration import to_mapping, write_atomically
from her_robot.contract import Contract, FetchContract, contract_of
from her_robot.errors import ConfigurationError, LoopError
from her_robot.evaluation.commands import load_bundle, loop_options
from her_robot.evaluation.console import EpisodeProgress
from her_robot.evaluation.distance import written
from her_robot.evaluation.episodes import FIRST_SEED, Evaluation, seeds_from
from her_robot.evaluation.fault_runs import FaultRow, play_faults
from her_robot.evaluation.faults import FaultSchedule, load_faults, shipped_faults
from her_robot.evaluation.junit import write_junit
from her_robot.evaluation.loop import evaluate_in_loop
from her_robot.evaluation.page import Section
from her_robot.evaluation.report import prepare_directory, write_report
from her_robot.sim.differences import Difference, Fleet, check_severity
from her_robot.sim.hand_robot import HANDS
from her_robot.sim.robot import ARMS


def evaluate_robots(options: argparse.Namespace) -> int:
    """A policy on several simulated robots in turn; 1 if a loop broke on the way.

    Raises:
        HerRobotError: an unknown robot, or an option that cannot be.
    """
    fleet = fleet_of(options.task)
    names = _named(options.robots, fleet.names(), "--robots")
    for name in names:
        fleet.load(name, options.severity)
    bundle = load_bundle(options.task, options.policy)
    episodes = 50 if options.episodes is None else options.episodes
    first_seed = FIRST_SEED if options.seed is None else options.seed
    seeds_from(first_seed, episodes)
    directory, console = _directory(options, "robots"), Console()
    rows, sections = [], []
    for name in names:
        own, loop = directory / Path(name).stem, loop_options(options, name)
        try:
            with EpisodeProgress(console, episodes) as progress:
                result = evaluate_in_loop(bundle, own, episodes, first_seed, loop, progress.add)
        except LoopError as error:
            rows.append({"robot": name, "episodes": 0, "failure": str(error)})
            continue
        sections.append(Section(result.evaluation, name, images=result.images, film=result.film))
        rows.append(robot_row(name, result.evaluation))
        console.print(f"{name}: {rows[-1]['successes']} of {rows[-1]['episodes']}")
    title = f"{options.task} on simulated robots, severity {options.severity:g}"
    console.print(_robots_table(title, rows, bundle.contract))
    matrix = {"task": options.task, "policy": str(bundle.path), "severity": options.severity, "robots": rows}
    _write(matrix, directory / "robots.json", options.json, console)
    if sections:
        console.print(f"report: {write_report(directory, sections)}")
    if options.junit:
        write_junit(options.junit, [section.evaluation for section in sections])
    return int(any(row["failure"] for row in rows))


def evaluate_faults(options: argparse.Namespace) -> int:
    """A policy while things break; 1 if anything else happened than has to.

    Raises:
        HerRobotError: an unknown fault, or an option that cannot be.
        LoopError: the loop broke, in a way that no fault explains.
    """
    schedules = _schedules(options.faults, contract_of(options.task))
    bundle = load_bundle(options.task, options.policy)
    first_seed = FIRST_SEED if options.seed is None else options.seed
    seeds = seeds_from(first_seed, 1 if options.episodes is None else options.episodes)
    directory, console = _directory(options, "faults"), Console()
    with console.status(f"{len(schedules)} schedules, {len(seeds)} episodes of each") as status:

        def show(rows: Sequence[FaultRow]) -> None:
            status.update(f"last: {rows[0].name}, seed {rows[0].seed}")

        rows = play_faults(bundle, directory, schedules, seeds, loop_options(options), show)
    robot = loop_options(options).for_task(bundle.contract).simulated_robot
    console.print(_faults_table(f"{options.task} on simulated robot {robot}", rows))
    result = {
        "task": options.task,
        "policy": str(bundle.path),
        "simulated_robot": robot,
        "severity": options.severity,
        "ok": all(row.verdict.ok for row in rows),
        "faults": [row.summary() for row in rows],
    }
    _write(result, directory / "faults.json", options.json, console)
    return int(not result["ok"])


def _schedules(text: str, contract: Contract) -> dict[str, FaultSchedule]:
    """Schedules of faults by name. Of all, those that mean nothing to a hand without cameras are left out."""
    schedules = {name: load_faults(name) for name in _named(text, shipped_faults(), "--faults")}
    if contract.has_object or isinstance(contract, FetchContract):
        return schedules
    unseen = [name for name, schedule in schedules.items() if any(event.needs_camera for event in schedule.events)]
    if unseen and text != "all":
        raise ConfigurationError(f"--faults {','.join(unseen)}: nothing looks at a camera in {contract.task}")
    return {name: schedule for name, schedule in schedules.items() if name not in unseen}


def fleet_of(task: str) -> Fleet:
    """The simulated robots that do a task.

    Raises:
        UnknownNameError: no such task.
    """
    return ARMS if isinstance(contract_of(task), FetchContract) else HANDS


def print_robots(severity: float) -> None:
    """All simulated robots, and how they differ."""
    check_severity(severity)
    console = Console()
    console.print(f"At severity {severity:g}:")
    for fleet in (ARMS, HANDS):
        for name in fleet.names():
            if name not in fleet.variants():
                console.print(f"[bold]{name}[/]  what the others differ from")
                continue
            variant = fleet.variant(name)
            console.print(f"[bold]{name}[/]  {variant.description}")
            if variant.combine:
                continue
            base = to_mapping(fleet.load(variant.base))
            for value, difference in variant.differences.items():
                console.print(f"  {_difference(base, value, difference, severity)}")


def print_faults() -> None:
    """All schedules of faults, and what has to happen."""
    console, push = Console(), contract_of("fetch_push")
    for name in shipped_faults():
        schedule = load_faults(name)
        console.print(f"[bold]{name}[/]  {schedule.description}")
        for event in schedule.events:
            console.print(f"  {event.kind} at {event.at:g} s for {event.lasts:g} s: {event.expected(push)}")


def robot_row(name: str, evaluation: Evaluation) -> dict[str, Any]:
    """One line of the matrix, as JSON values."""
    summary = evaluation.summary()
    kept = ("episodes", "successes", "success_rate", "success_ci95", "final_distance", "safety", "failure", "seeds")
    return {"robot": name, **{key: summary[key] for key in kept}}


def _named(text: str, valid: Sequence[str], option: str) -> list[str]:
    """Names of a list with commas between, in its order; `all` of the valid ones. Paths of files are names too."""
    names = list(valid) if text == "all" else [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigurationError(f"{option} names none; valid: all, {', '.join(valid)}")
    if len({Path(name).stem for name in names}) < len(names):
        raise ConfigurationError(f"{option} {text}: a name occurs twice")
    return names


def _directory(options: argparse.Namespace, kind: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return prepare_directory(options.report or Path("reports") / f"{options.task}-{kind}-{stamp}")


def _write(result: dict[str, Any], path: Path, json_file: Path | None, console: Console) -> None:
    text = json.dumps(result, indent=2) + "\n"
    for target in filter(None, (path, json_file)):
        write_atomically(target, text)
    console.print(f"report: {path}")


def _robots_table(title: str, rows: Sequence[dict[str, Any]], contract: Contract) -> Table:
    table = Table(title=title, box=None, padding=(0, 2), title_justify="left")
    for heading in ("robot", "reached", "rate", "95 % interval", "final distance", "holds", ""):
        table.add_column(heading, no_wrap=heading == "robot")
    for row in rows:
        if not row["episodes"]:
            table.add_row(row["robot"], "0 of 0", "", "", "", "", "the loop broke")
            continue
        low, high = row["success_ci95"]
        table.add_row(
            row["robot"],
            f"{row['successes']} of {row['episodes']}",
            f"{row['success_rate']:.2f}",
            f"{low:.2f} ... {high:.2f}",
            f"median {written(row['final_distance']['p50'], contract, digits=0)}",
            str(row["safety"]["holds"]),
            "the loop broke" if row["failure"] else "",
        )
    return table


def _faults_table(title: str, rows: Sequence[FaultRow]) -> Table:
    table = Table(title=title, box=None, padding=(0, 2), title_justify="left")
    several_seeds = len({row.seed for row in rows}) > 1
    for heading in ("fault", *(["seed"] if several_seeds else []), "ok", "expected", "happened"):
        table.add_column(heading, no_wrap=heading in ("fault", "seed", "ok"))
    for row in rows:
        events = [other.event for other in rows if (other.name, other.seed) == (row.name, row.seed)]
        name = f"{Path(row.name).stem} {events.index(row.event) + 1}" if len(events) > 1 else Path(row.name).stem
        ok = "[green]yes[/]" if row.verdict.ok else "[red]NO[/]"
        seed = [str(row.seed)] if several_seeds else []
        table.add_row(name, *seed, ok, row.verdict.expected, row.verdict.happened)
    return table


def _difference(base: dict[str, Any], name: str, difference: Difference, severity: float) -> str:
    value: Any = base
    for key in name.split("."):
        value = value[key]
    return f"{name} {value:g} -> {difference.of(value, severity):.4g}"
