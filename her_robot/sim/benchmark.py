"""Environment steps per second, ours beside Gymnasium-Robotics, taken in turns in one run."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode
from rich.console import Console
from rich.table import Table

from her_robot.configuration import write_atomically
from her_robot.contract import CONTRACTS, Contract
from her_robot.domain_rand.preset import load_preset
from her_robot.sim.goal_env import BatchedGoalEnv
from her_robot.sim.tasks import fetch_task, make_gymnasium_env

_ROUNDS = 5
_ROUND_S = 1.5
_NUM_ENVS = 16
_LABELS = {
    "gymnasium_robotics": "Gymnasium-Robotics, AsyncVectorEnv",
    "her_robot": "her_robot",
    "her_robot_randomized": "her_robot, every environment randomised",
    "raw_mj_step": "mj_step alone, arm at rest",
}


def bench_env(json_file: Path | None, threads: int | None = None) -> list[dict[str, Any]]:
    """Measure every task, print a table, and write it as JSON.

    Each contender runs in turn, several times; the median counts. Noise of the machine then falls on all alike.
    """
    threads = threads or os.cpu_count() or 1
    results = [_measure(contract, threads) for contract in CONTRACTS.values()]
    Console().print(_table(results, threads))
    if json_file is not None:
        write_atomically(json_file, json.dumps(results, indent=2) + "\n")
    return results


def _table(results: list[dict[str, Any]], threads: int) -> Table:
    """Contenders in rows, tasks in columns; each speed with its ratio to Gymnasium-Robotics."""
    table = Table(title=f"environment steps per second, {threads} threads")
    table.add_column()
    for result in results:
        table.add_column(result["task"], justify="right")
    for name, label in _LABELS.items():
        speeds = [result["steps_per_s"] for result in results]
        cells = [f"{speed[name]:,.0f}  {speed[name] / speed['gymnasium_robotics']:5.2f} x" for speed in speeds]
        table.add_row(label, *cells)
    return table


def _measure(contract: Contract, threads: int) -> dict[str, Any]:
    preset = load_preset("robot_loop" if contract.has_object else "robot_loop_reach")
    contenders = {
        "her_robot": _ours(contract, threads, None),
        "her_robot_randomized": _ours(contract, threads, preset),
        "raw_mj_step": _raw(contract, threads),
        "gymnasium_robotics": _gymnasium_robotics(contract, threads),
    }
    rounds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(_ROUNDS):
        for name, run in contenders.items():
            rounds[name].append(_speed(run))
    speeds = {name: float(np.median(values)) for name, values in rounds.items()}
    return {
        "task": contract.task,
        "threads": threads,
        "steps_per_s": speeds,
        "ratio_to_raw": speeds["her_robot_randomized"] / speeds["raw_mj_step"],
        "ratio_to_gymnasium_robotics": speeds["her_robot_randomized"] / speeds["gymnasium_robotics"],
    }


def _speed(run: Callable[[], int]) -> float:
    steps, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < _ROUND_S:
        steps += run()
    return steps / (time.perf_counter() - begun)


def _ours(contract: Contract, threads: int, preset) -> Callable[[], int]:
    env = BatchedGoalEnv(contract.task, _NUM_ENVS, threads, preset)
    return _vector_episode(env, contract)


def _gymnasium_robotics(contract: Contract, threads: int) -> Callable[[], int]:
    env = gymnasium.vector.AsyncVectorEnv(
        [lambda: make_gymnasium_env(contract.environment)] * threads,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    return _vector_episode(env, contract)


def _vector_episode(env: gymnasium.vector.VectorEnv, contract: Contract) -> Callable[[], int]:
    rng = np.random.default_rng(0)
    env.reset(seed=0)

    def run() -> int:
        for _ in range(contract.episode_steps):
            env.step(rng.uniform(-1, 1, (env.num_envs, contract.action_size)).astype(np.float32))
        return contract.episode_steps * env.num_envs

    return run


def _raw(contract: Contract, threads: int) -> Callable[[], int]:
    """Nothing but `mj_step` on the same models, in as many threads: the limit."""
    from concurrent.futures import ThreadPoolExecutor

    task = fetch_task(contract.task)
    pool = ThreadPoolExecutor(threads)
    rows = [mujoco.MjData(task.model) for _ in range(_NUM_ENVS)]

    def steps(data: mujoco.MjData) -> None:
        mujoco.mj_resetData(task.model, data)
        data.qpos[:] = task.initial_qpos
        mujoco.mj_forward(task.model, data)
        data.mocap_pos[0] = data.body("robot0:gripper_link").xpos
        data.mocap_quat[0] = data.body("robot0:gripper_link").xquat
        for _ in range(contract.episode_steps):
            mujoco.mj_step(task.model, data, nstep=task.substeps)

    def run() -> int:
        list(pool.map(steps, rows))
        return contract.episode_steps * len(rows)

    return run
