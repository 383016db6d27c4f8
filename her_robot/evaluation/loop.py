"""A policy in the loop: nodes, messages and rendered images, a simulated robot, and a scorer that knows the truth."""

import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from her_robot.contract import Contract
from her_robot.errors import ConfigurationError, LoopError
from her_robot.evaluation.episodes import FIRST_SEED, Episode, Evaluation, seeds_from
from her_robot.evaluation.film import Film, WorstEpisodeFilm
from her_robot.evaluation.processes import NodeProcesses
from her_robot.evaluation.recording import Recording
from her_robot.evaluation.telemetry import TelemetryLog
from her_robot.policy.bundle import PolicyBundle

_STARTUP_STEPS = 400
"""Control periods in which homing must be done, and object and goal seen."""
_LARGEST_DOMAIN_ID = 101
"""Beyond, the ports of DDS reach into those that Linux hands out (docs.ros.org, ROS_DOMAIN_ID)."""


@dataclass(frozen=True)
class LoopOptions:
    """How the loop is run."""

    simulated_robot: str = "fetch"
    """Simulated robot in config/simulated_robots/."""
    robot: str = "fetch"
    """Robot profile in config/robots/."""
    calibration: str = "fetch_sim"
    """Calibration in calibration/."""
    episode_steps: int = 100
    """Control periods of an episode. An arm that keeps its joints' limits takes about twice as long as the gripper in
    Gymnasium-Robotics, which is dragged at 10 m/s^2: 4 s here, 2 s there."""
    real_time: bool = False
    """Let time pass by itself; otherwise in lockstep, as fast as the machine can."""
    record: bool = True
    """Write an MCAP recording."""

    def __post_init__(self) -> None:
        if self.episode_steps < 1:
            raise ConfigurationError(f"--episode-steps is {self.episode_steps}; at least 1 is needed")


@dataclass(frozen=True)
class LoopResult:
    """An evaluation in the loop, and what its report shows."""

    evaluation: Evaluation
    images: Mapping[int, np.ndarray]
    """The camera's last image of each episode, by seed, RGB uint8."""
    film: Film | None
    """What the camera saw of the worst episode."""
    failure: LoopError | None
    """What ended the evaluation early."""


def evaluate_in_loop(
    bundle: PolicyBundle,
    directory: Path,
    episodes: int = 50,
    first_seed: int = FIRST_SEED,
    options: LoopOptions | None = None,
    on_episode: Callable[[Episode], bool | None] = lambda episode: None,
) -> LoopResult:
    """Play episodes through the nodes, and judge them by the truth at the last step.

    Args:
        bundle: the policy.
        directory: logs and the recording go here.
        episodes: how many, each with a seed of its own.
        first_seed: seed of the first.
        options: how the loop is run.
        on_episode: called after each episode; True ends the evaluation.

    Returns:
        What was measured. A node that died or fell silent is in `failure`; the episodes before it count.

    Raises:
        LoopError: the nodes did not come up at all.
    """
    options = options or LoopOptions()
    seeds = seeds_from(first_seed, episodes)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    from her_robot.ros_nodes.evaluator_node import evaluator, shut_down

    # Not from a seeded generator: evaluations that run side by side must not meet.
    domain_id = random.SystemRandom().randint(1, _LARGEST_DOMAIN_ID)
    processes = NodeProcesses(directory / "logs", {"ROS_DOMAIN_ID": str(domain_id)})
    recording = Recording(directory / "recording") if options.record else None
    node = evaluator(domain_id, not options.real_time, processes.check, recording)
    begun = time.monotonic()
    played: list[Episode] = []
    images: dict[int, np.ndarray] = {}
    worst = WorstEpisodeFilm()
    failure = None
    try:
        _start_nodes(processes, bundle, options)
        node.wait_for_nodes()
        try:
            for seed in seeds:
                played.append(_play(node, seed, bundle.contract, options.episode_steps))
                images[seed] = node.newest_image()
                worst.offer(played[-1], node.frames, bundle.contract.control_period * len(played[-1].distances))
                if on_episode(played[-1]):
                    break
        except LoopError as error:
            failure = error
        wall_s = time.monotonic() - begun
        extra = _measurements(node, bundle.contract, wall_s, options, failure)
        evaluation = Evaluation(bundle.contract.task, "ros", str(bundle.path), tuple(played), extra)
        return LoopResult(evaluation, images, worst.film, failure)
    finally:
        processes.stop()
        shut_down(node)
        if recording is not None:
            recording.close()


def _start_nodes(processes: NodeProcesses, bundle: PolicyBundle, options: LoopOptions) -> None:
    task, sim_time = bundle.contract.task, {"use_sim_time": True}
    mode = {"mode": "real_time", "publish_clock": True} if options.real_time else {"mode": "lockstep"}
    processes.start("sim_robot_node", {"task": task, "simulated_robot": options.simulated_robot, **mode})
    processes.start("camera_goal_node", {"task": task, "calibration": options.calibration, **sim_time})
    policy = {"policy": bundle.path, "robot": options.robot, "calibration": options.calibration}
    processes.start("policy_node", {"task": task, **policy, **sim_time})


def _play(node: Any, seed: int, contract: Contract, episode_steps: int) -> Episode:
    """One episode: looking and homing, then `episode_steps` control periods with the policy."""
    log = TelemetryLog(node.status("policy_node"))
    node.begin_episode(seed)
    distances: list[float] = []
    positions: list[tuple[float, float, float]] = []
    status: dict[str, str] = {}
    note = ""
    for _ in range(_STARTUP_STEPS + episode_steps):
        status = node.tick()
        log.add(status, node.status("camera_goal_node"))
        steps = int(status.get("steps", 0))
        if steps > 1:
            # What the actions before this one have led to.
            distances.append(node.distance(contract.has_object))
            positions.append(node.grip_position())
        if steps >= episode_steps:
            break
    else:
        note = f"only {status.get('steps', 0)} of {episode_steps} steps: {status.get('phase')}"
        note += f", {status['reason']}" if status.get("reason") else ""
    node.advance()
    distances.append(node.distance(contract.has_object))
    positions.append(node.grip_position())
    node.end_episode()
    success = not note and distances[-1] < contract.success_distance
    return Episode(seed, success, tuple(distances), note, tuple(positions), log.result())


def _measurements(
    node: Any, contract: Contract, wall_s: float, options: LoopOptions, failure: LoopError | None
) -> dict[str, Any]:
    return {
        "mode": "real_time" if options.real_time else "lockstep",
        "simulated_robot": options.simulated_robot,
        "episode_steps": options.episode_steps,
        "control_hz": 1.0 / contract.control_period,
        "detections": node.detections(),
        "lost_images": node.lost_images,
        "wall_s": round(wall_s, 1),
        "failure": str(failure) if failure else None,
    }
