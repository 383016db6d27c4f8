"""A policy in simulation: the unmodified Gymnasium-Robotics environment, or a randomised one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from her_robot.contract import Contract, FetchContract, HandContract, goal_distance, is_success, term_slice
from her_robot.domain_rand.preset import RandomizationPreset
from her_robot.errors import HerRobotError
from her_robot.evaluation.episodes import FIRST_SEED, Episode, Evaluation, seeds_from
from her_robot.evaluation.film import Film, thumbnail
from her_robot.policy.bundle import PolicyBundle
from her_robot.sim.goal_env import GoalEnv
from her_robot.sim.tasks import make_gymnasium_env

_FRAMES_PER_SECOND = 25


def evaluate_in_simulation(
    bundle: PolicyBundle,
    episodes: int = 200,
    first_seed: int = FIRST_SEED,
    randomization: RandomizationPreset | None = None,
    video: Path | None = None,
    on_episode: Callable[[Episode], bool | None] = lambda episode: None,
) -> Evaluation:
    """Deterministic episodes, judged at the last step.

    Args:
        bundle: the policy.
        episodes: how many, each with a seed of its own.
        first_seed: seed of the first.
        randomization: draw from this preset; default: the unmodified environment.
        video: write an MP4 of the first episodes here.
        on_episode: called after each episode; True ends the evaluation.
    """
    contract = bundle.contract
    grip = term_slice(contract, "grip_pos") if isinstance(contract, FetchContract) else None
    seeds = seeds_from(first_seed, episodes)
    if randomization is not None and video is not None:
        raise HerRobotError("--video shows the unmodified environment; leave out --randomize")
    rendered = video is not None
    env: Any = GoalEnv(contract.task, randomization) if randomization else _unmodified(contract, rendered)
    recorder = _VideoRecorder(video) if video else None
    results, drawn = [], []
    try:
        for seed in seeds:
            beginning, _ = env.reset(seed=seed)
            if randomization is not None:
                drawn.append(env.drawn)
            distances, positions, success = [], [], False
            for observation in _play(env, bundle, beginning):
                goals = observation["achieved_goal"], observation["desired_goal"]
                distances.append(float(goal_distance(contract, *goals)))
                success = bool(is_success(contract, *goals))
                if grip is not None:
                    positions.append(tuple(observation["observation"][grip].tolist()))
                if recorder:
                    recorder.add(env.render())
            # Randomised, a policy sees positions with a sensor's noise, which says nothing about how the arm moves.
            known = tuple(positions) if randomization is None else ()
            results.append(Episode(seed, success, tuple(distances), grip_positions=known))
            if on_episode(results[-1]):
                break
    finally:
        env.close()
        if recorder:
            recorder.close()
    extra: dict[str, Any] = {"environment": contract.environment}
    if randomization is not None:
        extra = {"environment": f"{contract.task}, randomised", "drawn": drawn}
    return Evaluation(contract.task, "sim", str(bundle.path), tuple(results), extra)


def film_episode(bundle: PolicyBundle, seed: int) -> Film:
    """Play an episode of the unmodified environment again, and film it."""
    contract = bundle.contract
    env = _unmodified(contract, rendered=True)
    try:
        frames = tuple(thumbnail(env.render()) for _ in _play(env, bundle, env.reset(seed=seed)[0]))
    finally:
        env.close()
    return Film(seed, frames, 1.0 / contract.control_period)


def last_image(bundle: PolicyBundle, seed: int) -> np.ndarray:
    """How an episode of the unmodified environment ends, RGB (height, width, 3) uint8."""
    env = _unmodified(bundle.contract, rendered=True)
    try:
        for _ in _play(env, bundle, env.reset(seed=seed)[0]):
            pass
        return env.render()
    finally:
        env.close()


def _unmodified(contract: Contract, rendered: bool = False) -> Any:
    """The environment that defines a task; `rendered`, so that it gives images."""
    if not (isinstance(contract, HandContract) and contract.relative_control):
        return make_gymnasium_env(contract.environment, render_mode="rgb_array" if rendered else None)
    if rendered:
        raise HerRobotError(f"{contract.task} cannot be filmed: Gymnasium-Robotics registers no relative control")
    return GoalEnv(contract.task)


def _play(env: Any, bundle: PolicyBundle, observation: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Observations after each step of one episode that begins with `observation`."""
    memory = bundle.memory()
    for _ in range(bundle.contract.episode_steps):
        observation, *_ = env.step(bundle.act(observation["observation"], observation["desired_goal"], memory))
        yield observation


class _VideoRecorder:
    """Writes RGB frames to an MP4."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: cv2.VideoWriter | None = None

    def add(self, frame: np.ndarray) -> None:
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            size = (frame.shape[1], frame.shape[0])
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), code, _FRAMES_PER_SECOND, size)
            if not self._writer.isOpened():
                raise HerRobotError(f"{self._path}: cannot be written as a video; use a name that ends in .mp4")
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
