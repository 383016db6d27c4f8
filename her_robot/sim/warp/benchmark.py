"""Environment steps per second of the simulation on a device, over batch sizes."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from her_robot.configuration import write_atomically
from her_robot.domain_rand.preset import load_preset
from her_robot.sim.warp.goal_env import WarpGoalEnv
from her_robot.sim.warp.installation import FIRST_USE

TASKS = {
    "fetch_reach": "robot_loop_reach",
    "fetch_push": "robot_loop",
    "fetch_pick_and_place": "robot_loop_pick",
    "hand_reach": "hand_reach",
    "hand_block": "hand",
}
"""What is measured, and the preset of its randomised worlds."""
WORLDS = {"cuda": (256, 1024, 4096, 16384), "cpu": (4, 16)}
"""Batch sizes by kind of device."""
_ROUNDS = 5
_ROUND_S = 1.0


def bench_warp(
    json_file: Path | None,
    device: str = "cuda",
    worlds: Sequence[int] | None = None,
    tasks: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Measure tasks over batch sizes, print a table, and write it as JSON.

    Raises:
        BackendError: the simulation cannot run on this device.
    """
    console, name = Console(), _device_name(device)
    console.print(FIRST_USE)
    results = []
    for task in tasks or TASKS:
        for count in worlds or WORLDS[torch.device(device).type]:
            results.append({"device": name, **_measure(task, count, device)})
            console.print(f"{task}: {count} worlds measured")
    console.print(_table(results, name))
    if json_file is not None:
        write_atomically(json_file, json.dumps(results, indent=2) + "\n")
    return results


def _measure(task: str, count: int, device: str) -> dict[str, Any]:
    preset = replace(load_preset(TASKS.get(task, "none")), nominal_fraction=0.0)
    speeds = {
        "steps_per_s": _speed(WarpGoalEnv(task, count, device)),
        "steps_per_s_randomized": _speed(WarpGoalEnv(task, count, device, preset)),
    }
    return {"task": task, "worlds": count, **speeds}


def _speed(env: WarpGoalEnv) -> float:
    """Environment steps per second under random actions, resets included: the median of several rounds."""
    env.reset(seed=0)
    _play(env, 0.0)
    return float(np.median([_play(env, _ROUND_S) for _ in range(_ROUNDS)]))


def _play(env: WarpGoalEnv, duration: float) -> float:
    """Steps per second of a while that lasts `duration` [s] at least, and one step at least."""
    steps, begun = 0, time.perf_counter()
    while True:
        env.step(2.0 * torch.rand(env.num_envs, env.contract.action_size, device=env.device) - 1.0)
        steps += env.num_envs
        if env.device.type == "cuda":
            torch.cuda.synchronize(env.device)
        elapsed = time.perf_counter() - begun
        if elapsed >= duration:
            return steps / elapsed


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") and torch.cuda.is_available() else device


def _table(results: list[dict[str, Any]], device: str) -> Table:
    table = Table(title=f"environment steps per second on {device}")
    for column in ("task", "worlds", "nominal", "randomised"):
        table.add_column(column, justify="left" if column == "task" else "right")
    for row in results:
        speeds = (f"{row[name]:,.0f}" for name in ("steps_per_s", "steps_per_s_randomized"))
        table.add_row(row["task"], f"{row['worlds']:,}", *speeds)
    return table
