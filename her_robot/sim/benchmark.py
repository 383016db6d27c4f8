"""Environment steps per second of the batched simulation, beside peers and beside MuJoCo alone, in one run."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from her_robot.configuration import write_atomically
from her_robot.contract import FETCH_CONTRACTS, Contract, contract_of
from her_robot.sim.contenders import contenders, speed

_ROUNDS = 7
_ROUND_S = 0.7
_LABELS = {
    "gymnasium_robotics": "Gymnasium-Robotics, AsyncVectorEnv",
    "envpool": "EnvPool",
    "her_robot": "her_robot",
    "her_robot_randomized": "her_robot, every environment randomised",
    "raw_mj_step": "mj_step alone, same models and motion",
}


TASKS = (*FETCH_CONTRACTS, "hand_reach", "hand_block")
"""Measured unless others are named. The other tasks of the hand differ from these in their goals, or in the object."""


def bench_env(json_file: Path | None, threads: int | None = None, tasks: Sequence[str] = TASKS) -> list[dict[str, Any]]:
    """Measure tasks, print a table, and write it as JSON.

    Each contender runs in turn, several times; the median counts. Noise of the machine then falls on all alike.
    """
    threads = threads or os.cpu_count() or 1
    results = [_measure(contract, threads) for contract in [contract_of(task) for task in tasks]]
    console = Console()
    console.print(_table(results, threads))
    if not any("envpool" in result["steps_per_s"] for result in results):
        console.print("EnvPool is left out: it is not installed (pip install -r requirements-bench.txt)")
    if json_file is not None:
        write_atomically(json_file, json.dumps(results, indent=2) + "\n")
    return results


def _measure(contract: Contract, threads: int) -> dict[str, Any]:
    runs = contenders(contract, threads)
    rounds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(_ROUNDS):
        for name, run in runs.items():
            rounds[name].append(speed(run, _ROUND_S))
    speeds = {name: float(np.median(values)) for name, values in rounds.items()}
    return {"task": contract.task, "threads": threads, "steps_per_s": speeds} | _ratios(speeds)


def _ratios(speeds: dict[str, float]) -> dict[str, float]:
    """How our speed, with every environment randomised, compares with those that were measured."""
    others = {"envpool": "ratio_to_envpool", "raw_mj_step": "ratio_to_raw"}
    others["gymnasium_robotics"] = "ratio_to_gymnasium_robotics"
    return {key: speeds["her_robot_randomized"] / speeds[name] for name, key in others.items() if name in speeds}


def _table(results: list[dict[str, Any]], threads: int) -> Table:
    """Contenders in rows, tasks in columns; each speed with its ratio to Gymnasium-Robotics."""
    table = Table(title=f"environment steps per second, {threads} threads")
    table.add_column()
    for result in results:
        table.add_column(result["task"], justify="right")
    for name, label in _LABELS.items():
        speeds = [result["steps_per_s"] for result in results]
        cells = [
            f"{speed[name]:,.0f}  {speed[name] / speed['gymnasium_robotics']:5.2f} x" if name in speed else "-"
            for speed in speeds
        ]
        table.add_row(label, *cells)
    return table
