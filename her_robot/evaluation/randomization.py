"""`her-robot randomization`: what a preset randomises, what it really draws, and what scenes then look like."""

import argparse
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import mujoco
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from her_robot.configuration import write_atomically
from her_robot.contract import HandContract, contract_of
from her_robot.domain_rand.description import Line, describe
from her_robot.domain_rand.preset import RandomizationPreset, load_preset
from her_robot.domain_rand.rendering import Appearance, RenderingConfig
from her_robot.errors import HerRobotError
from her_robot.evaluation.episodes import seeds_from
from her_robot.evaluation.randomization_cost import Cost, measure_cost
from her_robot.evaluation.report import write_json
from her_robot.sim import hand_scene, scene
from her_robot.sim.goal_env import BatchedGoalEnv
from her_robot.sim.hand_robot import HANDS
from her_robot.sim.hand_view import HandView
from her_robot.sim.robot import ARMS, SimulatedRobot

_NUM_ENVS = 50
_SHEET_ROWS, _SHEET_COLUMNS = 3, 4
_TILE = 360, 270
"""Width and height of a scene in the contact sheet [px]."""
_PLOT_COLUMNS = 5
_WIDTH = 110
"""Of the table where there is no terminal that has one [characters]."""
_BINS = 24
_BLUE, _GREY = "#2a6f97", "#888888"

Drawn = dict[tuple[str, str], np.ndarray]
"""All values that were drawn, flat, by section and name of the parameter."""


def randomization_command(options: argparse.Namespace) -> int:
    """Print the table, and write histograms and contact sheet."""
    contract = contract_of(options.task)
    seeds_from(options.seed, options.episodes)
    preset = load_preset(options.preset)
    env = BatchedGoalEnv(contract.task, min(options.episodes, _NUM_ENVS), 1, preset)
    lines = describe(preset, env.simulation.task.model, contract.has_object)
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    print_lines(console, lines, f"{options.preset} in {contract.task}")
    share = preset.nominal_fraction
    console.print(f"{100 * share:.0f} % of the episodes are nominal: nothing is randomised in them.")
    drawn, randomised = draw_episodes(env, options.episodes, options.seed)
    robot, camera = _before_a_camera(contract.task, preset, options.seed)
    drawn |= draw_looks(preset.rendering, robot.model, camera, options.episodes, options.seed)
    cost = measure_cost(contract.task, preset, options.seed) if options.cost else None
    if cost is not None:
        print_cost(console, cost)
    if options.json:
        write_json(options.json, _summary(options, preset, lines, drawn, randomised, cost))
    directory = options.out or Path("reports") / f"randomization-{contract.task}-{Path(options.preset).stem}"
    path = directory / "histograms.png"
    write_atomically(path, plot_histograms(drawn, lines, f"{options.preset} in {contract.task}"))
    console.print(f"what {options.episodes} episodes drew, {randomised} of them not nominal: {path}")
    path = directory / "scenes.png"
    try:
        write_atomically(path, contact_sheet(robot, options.seed))
        console.print(f"what a camera sees: {path}")
    except HerRobotError as error:
        console.print(f"no pictures of scenes: {error}")
    finally:
        robot.close()
    return 0


def print_lines(console: Console, lines: Sequence[Line], title: str) -> None:
    """The table."""
    if not lines:
        console.print(f"{title}: nothing is randomised")
        return
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column("parameter", no_wrap=True)
    for name in ("nominal", "range", "distribution", "operation", "when"):
        table.add_column(name, no_wrap=name in ("operation", "when"))
    section = ""
    for line in lines:
        if line.section != section:
            section = line.section
            table.add_row(f"[bold]{section}[/]")
        nominal = f"{_nominal(line)} {_unit(line)}".rstrip()
        draws = f", {len(line.components)} draws" if len(line.components) > 1 else ""
        table.add_row(f"  {line.name}", nominal, _range(line), line.distribution + draws, line.operation, line.when)
    console.print(table)


def print_cost(console: Console, cost: Cost) -> None:
    """What the preset costs."""
    longer = f" Control periods last {100 * cost.longer:.1f} % longer." if cost.longer else ""
    console.print(
        f"It adds {100 * cost.share:.1f} % to the CPU time of a simulated second: {cost.randomized_us:.0f} us for a "
        f"control period, {cost.nominal_us:.0f} without.{longer}"
    )


def draw_episodes(env: BatchedGoalEnv, episodes: int, seed: int) -> tuple[Drawn, int]:
    """Begin episodes, as training does, and close the environment.

    Returns:
        What was drawn, and how many episodes were not nominal.
    """
    found: list[dict[str, dict[str, Any]]] = []
    while len(found) < episodes:
        env.reset(seed=None if found else seed)
        found += env.drawn
    env.close()
    return _gather(found[:episodes]), sum(map(bool, found[:episodes]))


def draw_looks(rendering: RenderingConfig, model: mujoco.MjModel, camera: str, episodes: int, seed: int) -> Drawn:
    """Give a model, seen by a camera of that name, so many looks; what was drawn."""
    appearance = Appearance(rendering, model, camera)
    rng, found = np.random.default_rng(seed), []
    for _ in range(episodes):
        appearance.draw(rng)
        found.append({"rendering": appearance.drawn})
    return _gather(found)


def plot_histograms(drawn: Drawn, lines: Sequence[Line], title: str) -> bytes:
    """A PNG with a histogram for each parameter that is drawn from a range, its limits dashed."""
    from matplotlib.figure import Figure

    shown = [line for line in lines if np.ptp(drawn.get((line.section, line.name), [0.0])) > 0]
    rows = max(-(-len(shown) // _PLOT_COLUMNS), 1)
    figure = Figure(figsize=(3.1 * _PLOT_COLUMNS, 2.2 * rows + 0.6), layout="constrained")
    figure.suptitle(title if shown else f"{title}: nothing is drawn from a range")
    for index, line in enumerate(shown):
        axes = figure.add_subplot(rows, _PLOT_COLUMNS, index + 1)
        _histogram(axes, drawn[line.section, line.name], line)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def contact_sheet(robot: SimulatedRobot | HandView, seed: int) -> bytes:
    """A PNG of what a robot's camera sees in several episodes.

    Raises:
        HerRobotError: there is no OpenGL to render with; the message names what to install.
    """
    scenes = []
    for episode in range(_SHEET_ROWS * _SHEET_COLUMNS):
        robot.reset(seed + episode)
        scenes.append(robot.render())
    rows = [np.hstack(scenes[start : start + _SHEET_COLUMNS]) for start in range(0, len(scenes), _SHEET_COLUMNS)]
    return cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))[1].tobytes()


def _before_a_camera(task: str, preset: RandomizationPreset, seed: int) -> tuple[SimulatedRobot | HandView, str]:
    """The shipped robot in scenes that look as the preset says, and its camera's name."""
    width, height = _TILE
    if isinstance(contract_of(task), HandContract):
        camera = replace(HANDS.load("shadow_hand").camera, width=width, height=height)
        return HandView(task, preset, camera), hand_scene.CAMERA
    config = ARMS.load("fetch")
    yaw = max(abs(preset.object_yaw.low), abs(preset.object_yaw.high))
    camera = replace(config.camera, width=width, height=height)
    config = replace(config, rendering=preset.rendering, camera=camera, object_yaw=yaw)
    return SimulatedRobot(config, task, seed), scene.CAMERA


def _gather(episodes: Sequence[Mapping[str, Mapping[str, Any]]]) -> Drawn:
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for episode in episodes:
        for section, values in episode.items():
            for name, value in values.items():
                found.setdefault((section, name), []).append(np.ravel(value))
    return {key: np.concatenate(values).astype(float) for key, values in found.items()}


def _histogram(axes: Any, values: np.ndarray, line: Line) -> None:
    low = values.min() if line.low is None else line.low
    high = values.max() if line.high is None else line.high
    logarithmic = line.distribution == "log_uniform"
    axes.hist(values, bins=(np.geomspace if logarithmic else np.linspace)(low, high, _BINS + 1), color=_BLUE)
    if logarithmic:
        axes.set_xscale("log")
    for limit in (line.low, line.high):
        if limit is not None:
            axes.axvline(limit, color=_GREY, linestyle="--", linewidth=1)
    ticks = [low, np.sqrt(low * high) if logarithmic else (low + high) / 2, high]
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_title(f"{line.section}.{line.name}", fontsize=9)
    axes.set_xlabel("factor" if line.operation == "scale" else _unit(line), fontsize=8)
    axes.tick_params(labelsize=7)
    axes.set_yticks([])


def _summary(
    options: argparse.Namespace,
    preset: RandomizationPreset,
    lines: Sequence[Line],
    drawn: Drawn,
    randomised: int,
    cost: Cost | None,
) -> dict[str, Any]:
    statistics = {
        f"{section}.{name}": {"mean": values.mean(), "min": values.min(), "max": values.max(), "count": values.size}
        for (section, name), values in drawn.items()
    }
    return {
        "task": options.task,
        "preset": options.preset,
        "seed": options.seed,
        "episodes": options.episodes,
        "randomized_episodes": randomised,
        "nominal_fraction": preset.nominal_fraction,
        "parameters": [dataclasses.asdict(line) for line in lines],
        "drawn": statistics,
        "cost": None if cost is None else dataclasses.asdict(cost) | {"share": cost.share},
    }


def _unit(line: Line) -> str:
    return "" if line.unit == "1" else line.unit


def _nominal(line: Line) -> str:
    low, high = line.nominal
    return f"{low:.4g}" if low == high else f"{low:.4g} ... {high:.4g}"


def _range(line: Line) -> str:
    if line.low is None or line.high is None:
        return "unbounded"
    ends = f"{line.low:g} ... {line.high:g}"
    if line.low in (line.high, -line.high):
        ends = f"{line.high:g}" if line.low == line.high else f"± {line.high:g}"
    return f"× {ends}" if line.operation == "scale" else f"{ends} {_unit(line)}".rstrip()
