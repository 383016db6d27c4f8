"""A policy in simulation: the unmodified Gymnasium-Robotics environment, or a randomised one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from her_robot.contract import goal_distance, is_success
from her_robot.domain_rand.preset import RandomizationPreset
from her_robot.errors import HerRobotError
from her_robot.evaluation.episodes import FIRST_SEED, Episode, Evaluation, seeds_from
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
    on_episode: Callable[[Episode], None] = lambda episode: None,
) -> Evaluation:
    """Deterministic episodes, judged at the last step.

    Args:
        bundle: the policy.
        episodes: how many, each with a seed of its own.
        first_seed: seed of the first.
        randomization: draw from this preset; default: the unmodified environment.
        video: write an MP4 of the first episodes here.
        on_episode: called after each episode.
    """
    contract = bundle.contract
    seeds = seeds_from(first_seed, episodes)
    if randomization is not None and video is not None:
        raise HerRobotError("--video shows the unmodified environment; leave out --randomize")
    env: Any = (
        GoalEnv(contract.task, randomization)
        if randomization is not None
        else make_gymnasium_env(contract.environment, render_mode="rgb_array" if video else None)
    )
    recorder = _VideoRecorder(video) if video else None
    results, drawn = [], []
    try:
        for seed in seeds:
            observation, _ = env.reset(seed=seed)
            if randomization is not None:
                drawn.append(env.drawn)
            distances = []
            for _ in range(contract.episode_steps):
                action = bundle.act(observation["observation"], observation["desired_goal"])
                observation, *_ = env.step(action)
                distances.append(float(goal_distance(observation["achieved_goal"], observation["desired_goal"])))
                if recorder:
                    recorder.add(env.render())
            success = bool(is_success(contract, observation["achieved_goal"], observation["desired_goal"]))
            results.append(Episode(seed, success, tuple(distances)))
            on_episode(results[-1])
    finally:
        env.close()
        if recorder:
            recorder.close()
    extra: dict[str, Any] = {"environment": contract.environment}
    if randomization is not None:
        extra = {"environment": f"{contract.task}, randomised", "drawn": drawn}
    return Evaluation(contract.task, "sim", str(bundle.path), tuple(results), extra)


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
