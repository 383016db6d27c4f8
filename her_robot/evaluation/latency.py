"""`her-robot bench latency`: how long the deployed code takes, stage by stage, without ROS between its parts.

A simulated robot's joints and camera images go through the estimator and the controller that run on a robot, in one
process and as fast as they come. What is missing is transport; `her-robot evaluate --loop ros` measures it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from her_robot.configuration import write_atomically
from her_robot.contract import contract_of
from her_robot.errors import BundleError, ConfigurationError
from her_robot.evaluation.deployed_loop import DeployedLoop
from her_robot.evaluation.episodes import FIRST_SEED
from her_robot.evaluation.statistics import quantiles
from her_robot.policy.bundle import PolicyBundle, shipped_bundle
from her_robot.sim.simulated_robot import ROBOT_TASKS

STAGES = ("camera", "estimate", "policy", "inverse_kinematics", "safety", "tick")
"""In the order of the data: an image to poses; then the stages of a control tick; then the whole tick. A hand has no
inverse kinematics, and sees nothing without an object."""
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def bench_latency(json_file: Path | None, episodes: int = 5, steps: int = 100) -> list[dict[str, Any]]:
    """Measure every task of a simulated robot that a policy ships for, print a table, and write it as JSON.

    Args:
        json_file: where to write; None for nowhere.
        episodes: played for each task.
        steps: control periods of the running policy in each.

    Raises:
        ConfigurationError: fewer than one episode or step.
        BundleError: no policy ships for any task of a simulated robot, or one is damaged.
    """
    if episodes < 1 or steps < 1:
        raise ConfigurationError(f"{episodes} episodes of {steps} steps; at least 1 of each is needed")
    shipped = [task for task in ROBOT_TASKS if _ships(task)]
    if not shipped:
        raise BundleError("no policy ships for any task of a simulated robot; train one with `her-robot train TASK`")
    results = [_measure(task, episodes, steps) for task in shipped]
    console = Console()
    console.print(_table(results))
    left_out = [task for task in ROBOT_TASKS if task not in shipped]
    if left_out:
        console.print(f"left out, as no policy ships for them: {', '.join(left_out)}")
    if json_file is not None:
        write_atomically(json_file, json.dumps(results, indent=2) + "\n")
    return results


def _measure(task: str, episodes: int, steps: int) -> dict[str, Any]:
    loop = DeployedLoop(PolicyBundle.load(shipped_bundle(task), task))
    took_ms: dict[str, list[float]] = {stage: [] for stage in STAGES}
    try:
        for seed in range(FIRST_SEED, FIRST_SEED + episodes):
            for command, tick_ms in loop.play(seed, steps):
                for stage, milliseconds in (command.latency_ms | {"tick": tick_ms}).items():
                    took_ms[stage].append(milliseconds)
    finally:
        loop.close()
    took_ms["camera"] = loop.camera_ms
    return summary(task, took_ms)


def summary(task: str, took_ms: dict[str, list[float]]) -> dict[str, Any]:
    """Quantiles of each stage's times [ms], and how many control periods took longer than they last."""
    period_ms = 1000 * contract_of(task).control_period
    return {
        "task": task,
        "ticks": len(took_ms["tick"]),
        "images": len(took_ms["camera"]),
        "control_period_ms": period_ms,
        "late_ticks": int(np.sum(np.array(took_ms["tick"]) > period_ms)),
        "latency_ms": {stage: quantiles(took_ms[stage], _QUANTILES) for stage in STAGES},
    }


def _ships(task: str) -> bool:
    try:
        return shipped_bundle(task).is_dir()
    except BundleError:
        return False


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table(title="milliseconds of each stage, without ROS")
    table.add_column("task")
    table.add_column("stage")
    for name in _QUANTILES:
        table.add_column(name, justify="right")
    for result in results:
        for stage, found in result["latency_ms"].items():
            name = "tick, all of it" if stage == "tick" else stage.replace("_", " ")
            cells = (f"{value:.2f}" if value is not None else "-" for value in found.values())
            table.add_row(result["task"] if stage == STAGES[0] else "", name, *cells)
        late = f"{result['late_ticks']} of {result['ticks']} ticks took longer than {result['control_period_ms']:g} ms"
        table.add_row("", late, end_section=True)
    return table
