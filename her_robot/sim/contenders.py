"""Who steps a task for `her-robot bench env`: ours, the limit that MuJoCo sets, and peers.

A contender is a function that plays a while and returns the number of environment steps it took. All play uniformly
random actions, in whole episodes that begin anew after their last step, in the same number of threads.
"""

import importlib.util
import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode

from her_robot.contract import Contract, HandContract
from her_robot.domain_rand.preset import RandomizationPreset, load_preset
from her_robot.sim.fetch import FetchRow, finger_positions
from her_robot.sim.goal_env import BatchedGoalEnv
from her_robot.sim.tasks import fetch_task, make_gymnasium_env
from her_robot.sim.trim import ArmCollisions

Contender = Callable[[], int]

EPISODE_STEPS = 3200
"""Environment steps in which all environments of ours, and of the limit, play an episode each."""
_ENVPOOL_SETTINGS = ((1, 1), (2, 1), (4, 4), (8, 4), (16, 16))
"""Number of environments and batch size, each for one thread; a smaller batch is EnvPool's asynchronous mode."""
_TRIAL_S = 0.4
"""How long each setting of EnvPool is tried for."""
_SUBSTEPS = 20
"""Physics steps in a control period, of all tasks."""


def contenders(contract: Contract, threads: int) -> dict[str, Contender]:
    """Those that are installed, by their name in the report."""
    robot = "hand" if isinstance(contract, HandContract) else "robot_loop"
    preset = load_preset(robot if contract.has_object else f"{robot}_reach")
    found = {
        "her_robot": ours(contract, threads, None),
        "her_robot_randomized": ours(contract, threads, replace(preset, nominal_fraction=0.0)),
        "raw_mj_step": raw_mj_step(contract, threads, replace(preset, nominal_fraction=0.0)),
        "gymnasium_robotics": gymnasium_robotics(contract, threads),
    }
    if importlib.util.find_spec("envpool"):
        found["envpool"] = envpool(contract, threads)
    return found


def ours(contract: Contract, threads: int, preset: RandomizationPreset | None) -> Contender:
    """The environment that policies are trained in."""
    return _episodes(BatchedGoalEnv(contract.task, _num_envs(contract), threads, preset), contract)


def gymnasium_robotics(contract: Contract, threads: int) -> Contender:
    """The environment that defines the task, in a process for each thread."""
    env = gymnasium.vector.AsyncVectorEnv(
        [lambda: make_gymnasium_env(contract.environment)] * threads, autoreset_mode=AutoresetMode.SAME_STEP
    )
    return _episodes(env, contract)


def envpool(contract: Contract, threads: int) -> Contender:
    """EnvPool in the fastest of several settings, tried here and now."""
    runs = [_envpool(contract, threads, *(threads * size for size in setting)) for setting in _ENVPOOL_SETTINGS]
    return max(runs, key=lambda run: speed(run, _TRIAL_S))


def raw_mj_step(contract: Contract, threads: int, preset: RandomizationPreset) -> Contender:
    """Nothing but `mj_step`: an episode of ours, recorded, and played again on the same models.

    Each thread steps its share of the models in turn, a control period each, as any vector environment must.
    """
    episodes = _record(contract, preset)
    shares = [episodes[share::threads] for share in range(threads)]
    pool = ThreadPoolExecutor(threads)
    replay = _replay_of(contract)

    def run() -> int:
        list(pool.map(replay, shares))
        return contract.episode_steps * len(episodes)

    return run


def speed(run: Contender, duration: float) -> float:
    """Steps per second of whole runs that take at least `duration` [s]."""
    steps, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < duration:
        steps += run()
    return steps / (time.perf_counter() - begun)


@dataclass(frozen=True)
class _Period:
    """What a row is given for one control period."""

    mocap_position: np.ndarray
    mocap_quaternion: np.ndarray
    control: np.ndarray
    arm_collides: bool
    """Of the Fetch; true elsewhere."""


@dataclass(frozen=True)
class _Episode:
    """One row, and what was done to it."""

    model: mujoco.MjModel
    data: mujoco.MjData
    start: np.ndarray
    """MuJoCo's integration state."""
    periods: list[_Period]


def _record(contract: Contract, preset: RandomizationPreset) -> list[_Episode]:
    """One episode of random actions in every row."""
    env = BatchedGoalEnv(contract.task, _num_envs(contract), 1, preset, AutoresetMode.DISABLED)
    env.reset(seed=0)
    rows = env.simulation.rows
    episodes = [_Episode(row.model, row.data, _integration_state(row.model, row.data), []) for row in rows]
    for actions in _random_actions(contract, env.num_envs):
        env.step(actions)
        for row, episode in zip(rows, episodes, strict=True):
            given = (row.data.mocap_pos.copy(), row.data.mocap_quat.copy(), row.data.ctrl.copy())
            episode.periods.append(_Period(*given, row.arm_collides if isinstance(row, FetchRow) else True))
    return episodes


def _replay_of(contract: Contract) -> Callable[[list[_Episode]], None]:
    """What plays several rows of a task, period by period."""
    if isinstance(contract, HandContract):
        return lambda episodes: _replay(episodes, contract)
    task = fetch_task(contract.task)
    collisions = ArmCollisions(task.model, task.contract.base_position[0])
    closed = finger_positions(task.model) if task.block_gripper else ()
    return lambda episodes: _replay(episodes, contract, collisions, closed)


def _replay(
    episodes: list[_Episode],
    contract: Contract,
    collisions: ArmCollisions | None = None,
    closed: Sequence[int] | np.ndarray = (),
) -> None:
    """Play several rows, with the Fetch's collisions switched as they were, and its blocked fingers closed."""
    for episode in episodes:
        mujoco.mj_setState(episode.model, episode.data, episode.start, mujoco.mjtState.mjSTATE_INTEGRATION)
        if collisions:
            collisions.switch(episode.model, episode.periods[0].arm_collides)
    for step in range(contract.episode_steps):
        for episode in episodes:
            period, data = episode.periods[step], episode.data
            if collisions and step and period.arm_collides is not episode.periods[step - 1].arm_collides:
                collisions.switch(episode.model, period.arm_collides)
            data.mocap_pos[:] = period.mocap_position
            data.mocap_quat[:] = period.mocap_quaternion
            data.ctrl[:] = period.control
            mujoco.mj_step(episode.model, data, nstep=_SUBSTEPS)
            if len(closed):
                data.qpos[closed] = 0.0


def _num_envs(contract: Contract) -> int:
    """Environments of ours, and of the limit: 64 of the Fetch, 32 of a hand with an object."""
    return EPISODE_STEPS // contract.episode_steps


def _integration_state(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.zeros(mujoco.mj_stateSize(model, kind))
    mujoco.mj_getState(model, data, state, kind)
    return state


def _random_actions(contract: Contract, num_envs: int, seed: int = 0) -> np.ndarray:
    """One episode of actions (episode_steps, num_envs, action_size)."""
    size = (contract.episode_steps, num_envs, contract.action_size)
    return np.random.default_rng(seed).uniform(-1, 1, size).astype(np.float32)


def _episodes(env: gymnasium.vector.VectorEnv, contract: Contract) -> Contender:
    """Whole episodes of a vector environment that resets by itself, with other actions each."""
    env.reset(seed=0)
    seeds = itertools.count()

    def run() -> int:
        for actions in _random_actions(contract, env.num_envs, next(seeds)):
            env.step(actions)
        return contract.episode_steps * env.num_envs

    return run


def _envpool(contract: Contract, threads: int, num_envs: int, batch_size: int) -> Contender:
    import envpool

    options = {"num_envs": num_envs, "batch_size": batch_size, "num_threads": threads, "seed": 0}
    env: Any = envpool.make(contract.environment, env_type="gymnasium", **options)
    seeds = itertools.count()
    env.async_reset()

    def run() -> int:
        # Each call of `recv` gives the environments that are ready: all, where batch_size is num_envs.
        for actions in _random_actions(contract, num_envs, next(seeds)).astype(np.float64):
            *_, info = env.recv()
            env.send(actions[info["env_id"]], info["env_id"])
        return contract.episode_steps * batch_size

    return run
